"""Traces through the service: a request, its search, and the batches of the job that it submitted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from retrieval import tracing
from retrieval.testing import HashEmbedder, ScriptedGenerator
from service.app import create_app
from service.settings import Settings
from service.tracing import STANDARD, start_tracing, stop_tracing
from tests.unit.service.test_api import BUILDER, make_learner

TRACE = "0af7651916cd43dd8448eb211c80319c"
SECRETS = ("zorblax", "maren", "sk-canary")


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    yield exporter
    tracing.use(None)


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [one for one in spans.get_finished_spans() if one.name == name]


def test_requests_and_batches_are_traced_without_what_they_are_about(
    spans: InMemorySpanExporter, tmp_path: Path, tokenizer_file: Path
) -> None:
    app = create_app(
        Settings(data_dir=tmp_path, admin_key="sk-canary"),  # type: ignore[arg-type]
        embedder=HashEmbedder(),
        generator=ScriptedGenerator([BUILDER]),
    )
    headers = {"Authorization": "Bearer sk-canary", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    path = "/v1/collections/default"
    with TestClient(app, base_url="http://localhost", headers=headers) as client:
        document = {"id": "zorblax", "text": "Maren Quill built the harbour of Tessaly."}
        job_id = client.post(f"{path}/documents", json={"documents": [document]}).json()["job_id"]
        with make_learner(app.state.services, tokenizer_file).open(job_id) as learn_next:
            while learn_next():
                pass
        assert client.post(f"{path}/query", json={"question": "What did Maren Quill build?"}).status_code == 200
        assert client.get(f"{path}/documents/zorblax").status_code == 200
        assert client.delete(f"{path}/documents/zorblax?dry_run=true").status_code == 200
    (submitted,) = named(spans, "POST /v1/collections/{collection}/documents")
    assert submitted.context is not None
    assert f"{submitted.context.trace_id:032x}" == TRACE
    assert dict(submitted.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/v1/collections/{collection}/documents",
        "http.response.status_code": 202,
    }
    (batch,) = named(spans, "ingest batch")
    assert [link.context.span_id for link in batch.links] == [submitted.context.span_id]
    assert (batch.attributes or {})["sharpwave.job_id"] == job_id
    (asked,) = named(spans, "POST /v1/collections/{collection}/query")
    assert asked.context is not None
    # The search runs in a thread of its own, and is below the request all the same.
    (walk,) = (one for one in named(spans, "stage walk") if one.parent)  # the other one is that of the start
    assert walk.parent is not None
    assert walk.parent.span_id == asked.context.span_id
    assert len(named(spans, "GET /v1/collections/{collection}/documents/{document_id:path}")) == 1
    for one in spans.get_finished_spans():
        for secret in SECRETS:
            assert secret not in one.to_json().lower()


def test_spans_are_sent_only_where_a_collector_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in STANDARD:
        monkeypatch.delenv(name, raising=False)
    assert start_tracing(Settings(), "api") is None
    assert tracing.traceparent() is None
    started = start_tracing(Settings(otlp_endpoint="http://127.0.0.1:9/"), "api")
    try:
        assert started is not None
        assert started.resource.attributes["sharpwave.part"] == "api"
        with tracing.span("a", parent=None):
            assert tracing.trace_id() is not None
            # Nothing listens there: what waits is dropped below, not sent.
            tracing.use(None)
    finally:
        stop_tracing(None)
        tracing.use(None)
    for name in STANDARD:
        with monkeypatch.context() as patch:
            patch.setenv(name, "http://127.0.0.1:9")
            assert start_tracing(Settings(), "worker") is not None
            tracing.use(None)
