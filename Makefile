# setup: the environment and the models · run: see it work · test: prove it · check: lint and types · bench: how fast ·
# vllm: test against a real vLLM · adapters: test the retrievers for LangChain and LlamaIndex · kills: kill workers at random · pictures: the pages of the dashboard · stop: end the service · ranker: learn the weights of the chain ranker anew
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Each of the many processes of the tests would compile our modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup run stop test check vllm adapters kills bench ranker models pictures dashboard-times clean

setup: $(VENV)/.installed models

$(VENV)/.installed: pyproject.toml constraints.txt client/pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt 'torch==2.13.0'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[cpu,dev,bench]' --editable ./client
	touch $@

models: $(VENV)/.installed
	$(BIN)/sharpwave models pull

run: setup
	deploy/demo.sh

stop:
	deploy/stop.sh

test: setup
	$(BIN)/sharpwave models pull ms-marco-MiniLM-L-12-v2-int8
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/unit tests/comparison
	$(BIN)/python -m pytest -n 3 --dist loadfile -m 'not alone' --durations=10 tests/integration
	$(BIN)/python -m pytest -m alone --durations=10 tests/integration

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Some 10 minutes the first time, 7 GB of memory and 4.5 GB of disk in .venv-vllm; no part of `make test`.
vllm: $(VENV)/.installed
	PYTHON='$(PYTHON)' deploy/vllm.sh

# Some 330 MB of packages in .venv-adapters, the newest that fit; no part of `make test`.
adapters:
	$(PYTHON) -m venv .venv-adapters
	.venv-adapters/bin/python -m pip install --quiet --editable './client[langchain,llamaindex]' pytest
	.venv-adapters/bin/python -m pytest --noconftest -c client/pyproject.toml -p no:cacheprovider tests/unit/client/test_adapters.py

# Two workers are killed at random while they learn, on SQLite and then on PostgreSQL; some four seconds a kill.
KILLS ?= 100
kills: $(VENV)/.installed
	SHARPWAVE_TEST_KILLS=$(KILLS) $(BIN)/python -m pytest -s -k kills_change tests/integration/test_kills.py

# Some 15 minutes, 12 GB of memory and 6 GB of disk; smaller: make bench SIZES=10000,100000
SIZES ?= 10000,100000,1000000
bench: $(VENV)/.installed
	$(BIN)/sharpwave bench walk --sizes $(SIZES)
	$(BIN)/sharpwave bench search --sizes $(SIZES)

# The sets are public; each is CC BY or CC BY-SA 4.0. See docs/retrieval.md.
DATA ?= ../shared/data
ranker: setup
	$(BIN)/sharpwave eval ranker $(DATA)/musique_train100 $(DATA)/hotpot_train100 $(DATA)/hotpot_dev500 \
		--licence 'musique_train100=MuSiQue, CC BY 4.0' --licence 'hotpot_train100=HotpotQA, CC BY-SA 4.0' \
		--licence 'hotpot_dev500=HotpotQA, CC BY-SA 4.0' --out retrieval/weights/chains.json

# Every page of the dashboard, light, dark and narrow, over the samples; needs Chromium. Look at them.
PICTURES ?= .run/pictures
pictures: setup
	$(BIN)/python -m tests.integration.dashboard.pictures $(PICTURES)

# How long each page takes on a memory of that many made-up passages; some five minutes.
PASSAGES ?= 100000
dashboard-times: setup
	$(BIN)/python -m tests.integration.dashboard.times $(PASSAGES)

clean:
	rm -rf $(VENV) .venv-vllm .venv-adapters .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
