"""Requests, good and bad, with marked keys, questions and texts: none of the marks is in a log or in an error's body.

A client that sent a value may be told that value back where it is wrong (a name that is not there); a log may not.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import httpx
import pytest
from fastapi.testclient import TestClient

from memory_graph.database import Database, upgrade_schema
from memory_graph.errors import GeneratorUnavailable
from retrieval.generator import Completion, Message
from retrieval.testing import HashEmbedder, ScriptedGenerator
from service.app import create_app
from service.logs import LineFormatter, quiet_libraries
from service.settings import Settings
from tests.integration.installation import Installation, Started
from tests.integration.logs import leaks_of
from tests.leaks import find_leaks
from tests.unit.factories import commit_documents, learn_document, new_collection
from tests.unit.service.test_api import make_learner

KEY, WRONG_KEY, MODEL_KEY = "sk-canary-key-0001", "sk-canary-wrong-0002", "sk-canary-model-0003"
QUESTION, TEXT, TITLE = "canaryquestion who built it", "Canarytext Quill built the harbour.", "Canarytitle"
DOCUMENT_ID, SOURCE, META, FILE = "canary-document-id", "canary-source", "canary-metadata", "canary-file.txt"
KEYS = (KEY, WRONG_KEY, MODEL_KEY)
SAID = (QUESTION, "canaryquestion", "canarytext", TITLE, DOCUMENT_ID, SOURCE, META, FILE)
PATH = "/v1/collections/default"


class Faulty(ScriptedGenerator):
    """Fails with the prompt in its words: as a model server does, or as nobody foresaw."""

    broken = False

    async def complete(
        self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None, max_tokens: int
    ) -> Completion:
        words = " ".join(str(one["content"]) for one in messages)
        if self.broken:
            raise RuntimeError(words)
        raise GeneratorUnavailable(f"status 500: {words}")


@pytest.fixture(params=["text", "json"])
def written(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """All that is logged from *info* on, as the service writes it."""
    kind: Literal["text", "json"] = request.param
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(kind, with_text=False))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    quiet_libraries()  # the tests' own client logs addresses, as the service's clients would
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def ask(client: TestClient, learner: Any) -> list[httpx.Response]:
    """Send every kind of request, good and bad."""
    document = {"id": DOCUMENT_ID, "title": TITLE, "text": TEXT, "source": SOURCE, "metadata": {"note": META}}
    sent = client.post(f"{PATH}/documents", json={"documents": [document]})
    with learner.open(sent.json()["job_id"]) as learn_next:
        while learn_next():
            pass
    bad = {"Authorization": f"Bearer {WRONG_KEY}"}
    return [
        sent,
        client.post(f"{PATH}/search", json={"query": QUESTION, "trace": True}),
        client.post(f"{PATH}/query", json={"question": QUESTION}),
        client.post(f"{PATH}/query", json={"question": QUESTION, "stream": True}),
        client.post(f"{PATH}/search", json={"query": QUESTION, "filter": {"note": {"like": META}}}),
        client.post(f"{PATH}/search", json={"query": QUESTION, "mode": "dense", "rerank": "chain"}),
        client.post(f"{PATH}/search", json={"query": QUESTION, "min_version": 10**6, "mode": "none"}),
        client.post(f"{PATH}/search", content=f'{{"query": "{QUESTION}'.encode()),
        client.post(f"{PATH}/search", json={"question": QUESTION}),
        client.post(f"{PATH}/documents", json={"documents": [document, document]}),
        client.post(f"{PATH}/documents", json={"documents": [{**document, "occurred_at": TEXT}]}),
        client.post(f"{PATH}/files", files=[("files", (FILE, TEXT.encode()))]),
        client.post(f"{PATH}/files", files=[("files", ("", TEXT.encode()))]),
        client.post(f"{PATH}/urls", json={"urls": [f"https://user:{MODEL_KEY}@example.org/{DOCUMENT_ID}"]}),
        client.get(f"{PATH}/documents/{DOCUMENT_ID}"),
        client.get(f"{PATH}/documents/{DOCUMENT_ID}-none"),
        client.get(f"{PATH}/documents?cursor={QUESTION}"),
        client.get(f"/v1/queries/{QUESTION}"),
        client.get(f"/nowhere/{DOCUMENT_ID}?q={QUESTION}"),
        client.put(f"{PATH}/retention/old", json={"filter": {"note": META}}),
        client.get(f"{PATH}/documents/{DOCUMENT_ID}", headers=bad),
        client.post(f"{PATH}/search", json={"query": QUESTION}, headers=bad),
        client.get(f"/v1/collections?key={KEY}"),
        client.delete(f"{PATH}/documents/{DOCUMENT_ID}?dry_run=true"),
        client.post(f"{PATH}/forget", json={"source": SOURCE}),
        client.get("/v1/audit"),
        client.get("/metrics"),
    ]


def test_no_secret_is_logged_or_told(written: io.StringIO, tmp_path: Path, tokenizer_file: Path) -> None:
    settings = Settings(data_dir=tmp_path, admin_key=KEY, generator_api_key=MODEL_KEY)  # type: ignore[arg-type]
    generator = Faulty([])
    app = create_app(settings, embedder=HashEmbedder(), generator=generator)
    headers = {"Authorization": f"Bearer {KEY}"}
    with TestClient(app, base_url="http://localhost", headers=headers, raise_server_exceptions=False) as client:
        learner = make_learner(app.state.services, tokenizer_file)
        responses = ask(client, learner)
        generator.broken = True
        client.post(f"{PATH}/documents", json={"documents": [{"id": DOCUMENT_ID, "text": TEXT}]})
        responses += [
            client.post(f"{PATH}/query", json={"question": f"{QUESTION} harbour", "stream": s}) for s in (0, 1)
        ]
        logging.getLogger("service.x").info("the last line")
    said = written.getvalue()
    assert "the last line" in said
    assert "/v1/collections/{collection}/search" in said  # the requests are there
    assert find_leaks({"the log": said}, [*KEYS, *SAID]) == []
    statuses = {one.status_code for one in responses}
    assert {200, 202, 401, 404, 422} <= statuses
    bodies = {f"{one.request.method} {one.request.url} {one.status_code}": one.text for one in responses}
    assert find_leaks(bodies, KEYS) == []
    errors = {place: text for place, text in bodies.items() if not place.endswith((" 200", " 202"))}
    assert len(errors) >= 10
    # Of what was learned, no error tells anything: names that are sent back were sent.
    assert find_leaks(errors, ["canarytext", TITLE, META]) == []
    assert find_leaks({"metrics": bodies["GET http://localhost/metrics 200"]}, [*KEYS, *SAID]) == []
    assert find_leaks({"audit": bodies["GET http://localhost/v1/audit 200"]}, [*KEYS, *SAID]) == []


def test_a_fault_is_logged_with_its_frames_and_without_its_words(
    written: io.StringIO, tmp_path: Path, tokenizer_file: Path
) -> None:
    generator = Faulty([])
    generator.broken = True
    app = create_app(Settings(data_dir=tmp_path), embedder=HashEmbedder(), generator=generator)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        sent = client.post(f"{PATH}/documents", json={"documents": [{"id": DOCUMENT_ID, "text": TEXT}]})
        with make_learner(app.state.services, tokenizer_file).open(sent.json()["job_id"]) as learn_next:
            while learn_next():
                pass
        response = client.post(f"{PATH}/query", json={"question": f"{QUESTION} harbour"})
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    said = written.getvalue()
    assert response.json()["detail"].rsplit(" ", 1)[1] in said
    assert "builtins.RuntimeError" in said
    assert find_leaks({"the log": said, "the body": response.text}, SAID) == []


def test_the_search_for_leaks_finds_them() -> None:
    written = {"a.log": "x SK-CANARY-KEY-0001 y", "b.log": json.dumps({"message": "fine"})}
    assert find_leaks(written, [KEY, QUESTION]) == [f"a.log holds '{KEY}'"]
    assert find_leaks(written, ["fine"]) == []  # too short to be told


def test_the_logs_of_an_installation_are_held_against_its_keys_and_texts(tmp_path: Path) -> None:
    text = "Maren Quill built the harbour of Tessaly in 1871."
    database = Database(f"sqlite:///{tmp_path / 'sharpwave.db'}")
    upgrade_schema(database)
    commit_documents(database, new_collection(database).id, learn_document("a", text))
    database.close()
    started = [
        Started(process=SimpleNamespace(args=["python", verb]), out=tmp_path / "x", err=tmp_path / f"{verb}.err")  # type: ignore[arg-type]
        for verb in ("serve", "ask")
    ]
    made = Installation(tmp_path, tmp_path, {"SHARPWAVE_ADMIN_KEY": KEY}, started)
    for one in started:
        one.err.write_text(f"key {KEY}\nlearned {text}\n")
    assert leaks_of(made) == [f"{started[0].err} holds {text[:40]!r}", f"{started[0].err} holds {KEY!r}"]
    started[0].err.write_text("POST /v1/collections/{collection}/search 200\n")
    assert leaks_of(made) == []
