"""The reranker as the service sees it: chosen by a setting, asked for by a field, missed with a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from memory_graph.errors import InvalidInput, ModelCorrupted, ModelMissing
from retrieval import models
from retrieval.testing import ScriptedGenerator, WordScorer
from service.app import create_app
from service.services import Services
from service.settings import Settings
from service.wiring import find_reranker, open_reranker
from tests.unit.factories import EMBEDDER, commit_documents, learn_document

NAME = "ms-marco-MiniLM-L-12-v2-int8"
QUESTION = "who burned the mill"


def test_the_default_is_a_reranker_that_setup_does_not_fetch() -> None:
    model = find_reranker(Settings())
    assert (model.name, model.role, model.default) == (NAME, "reranker", False)
    assert {file.path for file in model.files} == {"model.onnx", "tokenizer.json"}


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "none"])
def test_another_name_is_refused_before_anything_is_loaded(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"SHARPWAVE_RERANKER: must be one of {NAME}, not '{name}'"):
        open_reranker(Settings(reranker=name))


def test_a_model_that_is_not_there_is_an_error_and_is_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARPWAVE_MODELS_DIR", str(tmp_path))
    scorer = open_reranker(Settings())  # costs nothing and cannot fail
    with pytest.raises(ModelMissing, match=f"run: sharpwave models pull {NAME}"):
        scorer.score(QUESTION, ["nobody"])
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_other_bytes_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARPWAVE_MODELS_DIR", str(tmp_path))
    model = models.find(NAME)
    (tmp_path / NAME).mkdir()
    for file in model.files:
        (tmp_path / NAME / file.path).write_bytes(b"\0" * file.size)
    manifest = {file.path: file.sha256 for file in model.files}
    (tmp_path / NAME / models.MANIFEST).write_text(str(manifest).replace("'", '"'))
    with pytest.raises(ModelCorrupted, match=f"sharpwave models pull {NAME}"):
        open_reranker(Settings()).score(QUESTION, ["nobody"])


@pytest.fixture
def scorer() -> WordScorer:
    return WordScorer()


@pytest.fixture
def client(tmp_path: Path, scorer: WordScorer) -> Iterator[TestClient]:
    app = create_app(Settings(data_dir=tmp_path), embedder=EMBEDDER, generator=ScriptedGenerator([]), scorer=scorer)
    with TestClient(app, base_url="http://localhost") as client:
        services: Services = app.state.services
        cid, _ = services.views.current("default")
        documents = ("it was burned by Ivo Brandt, the mill", "who knows", "burned toast", "rain")
        commit_documents(
            services.database, cid, *(learn_document(str(place), text) for place, text in enumerate(documents))
        )
        yield client


@pytest.mark.parametrize("mode", ["graph", "dense", "hybrid"])
def test_a_search_with_rerank_cross(client: TestClient, scorer: WordScorer, mode: str) -> None:
    body = {"query": QUESTION, "mode": mode, "rerank": "cross", "top_k": 2, "trace": True}
    response = client.post("/v1/collections/default/search", json=body)
    assert response.status_code == 200, response.text
    found = response.json()
    assert (len(found["hits"]), found["hits"][0]["document_id"]) == (2, "0")
    (stage,) = [one for one in found["trace"]["stages"] if one["name"] == "cross"]
    assert (stage["detail"]["model"], stage["detail"]["candidates"]) == ("words", 4)
    assert found["timings_ms"]["cross"] >= 0
    assert [question for question, _ in scorer.asked] == [QUESTION]


def test_an_answer_rests_on_what_was_read_again(client: TestClient, scorer: WordScorer) -> None:
    body = {"question": QUESTION, "mode": "dense", "rerank": "cross", "top_k": 1}
    response = client.post("/v1/collections/default/query", json=body)
    assert response.status_code == 200, response.text
    assert [hit["document_id"] for hit in response.json()["hits"]] == ["0"]
    assert len(scorer.asked) == 1


def test_without_the_model_the_problem_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARPWAVE_MODELS_DIR", str(tmp_path / "models"))
    app = create_app(Settings(data_dir=tmp_path), embedder=EMBEDDER, generator=ScriptedGenerator([]))
    with TestClient(app, base_url="http://localhost") as client:
        services: Services = app.state.services
        cid, _ = services.views.current("default")
        commit_documents(services.database, cid, learn_document("a", "the mill burned"))
        response = client.post("/v1/collections/default/search", json={"query": "mill", "rerank": "cross"})
        plain = client.post("/v1/collections/default/search", json={"query": "mill"})
    assert (response.status_code, response.json()["code"]) == (503, "model_missing")
    assert f"sharpwave models pull {NAME}" in response.json()["detail"]
    assert plain.status_code == 200
