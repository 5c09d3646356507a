"""Spans: none where nobody collects them, and without a word of what they are about where somebody does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from memory_graph.errors import GeneratorError
from retrieval import tracing
from retrieval.stages import Stages
from tests.unit.model_server import CHAT, MESSAGES, asking, chunk, completion, reply_events, reply_json, reply_status

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


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


def test_without_a_collector_nothing_is_made() -> None:
    with tracing.span("a", number=1) as one:
        assert one is None
        assert tracing.headers() == {}
        assert tracing.traceparent() is None
        assert tracing.trace_id() is None
    assert tracing.span("a") is tracing.span("b")  # not even an object
    assert tracing.read_context(TRACEPARENT) is None
    assert tracing.links_to(TRACEPARENT) == ()


def test_a_failed_span_tells_the_class_of_its_error_alone(spans: InMemorySpanExporter) -> None:
    def fail() -> None:
        with tracing.span("a", some__name="x"):
            raise ValueError("words of the question")

    with pytest.raises(ValueError, match="words"):
        fail()
    (one,) = spans.get_finished_spans()
    assert dict(one.attributes or {}) == {"some.name": "x", "error.type": "ValueError"}
    assert one.status.status_code is StatusCode.ERROR
    assert not one.events
    assert "words" not in one.to_json()


def test_stages_are_spans_below_the_present_one(spans: InMemorySpanExporter) -> None:
    stages = Stages()
    with tracing.span("request", parent=tracing.read_context(TRACEPARENT)), stages.measure("walk") as detail:
        detail["phrases"] = ["a name"]
    (walk,), (request,) = named(spans, "stage walk"), named(spans, "request")
    assert request.context is not None
    assert walk.parent is not None
    assert walk.parent.span_id == request.context.span_id
    assert f"{walk.parent.trace_id:032x}" == TRACEPARENT.split("-")[1]
    assert not walk.attributes
    assert [one.name for one in stages.done] == ["walk"]


def test_a_link_leads_to_the_span_that_was_written_down(spans: InMemorySpanExporter) -> None:
    with tracing.span("request"):
        written = tracing.traceparent()
    with tracing.span("batch", links=tracing.links_to(written)):
        pass
    (request,), (batch,) = named(spans, "request"), named(spans, "batch")
    assert request.context is not None
    assert [link.context.span_id for link in batch.links] == [request.context.span_id]
    assert batch.parent is None
    assert tracing.links_to("not a traceparent") == ()


def test_a_model_server_is_told_of_the_trace(spans: InMemorySpanExporter) -> None:
    async def run() -> tuple[dict[str, str], str | None, str]:
        async with asking({CHAT: reply_json(completion("Ada"))}) as (client, server):
            with tracing.span("request"):
                told = tracing.trace_id()
                await client.complete(MESSAGES, schema=None, max_tokens=8)
            return server.asked()[0].headers, told, server.url

    headers, told, url = asyncio.run(run())
    (call,) = named(spans, "generator call")
    assert call.context is not None
    assert headers["traceparent"].startswith(f"00-{told}-{call.context.span_id:016x}-")
    assert dict(call.attributes or {}) == {"server.address": url, "gen_ai.request.model": "m1"}


def test_a_stream_tells_of_the_trace_too_and_a_failure_of_its_class(spans: InMemorySpanExporter) -> None:
    async def run() -> tuple[dict[str, str], list[str]]:
        async with asking({CHAT: reply_events(chunk("A"), chunk("da", "stop"))}) as (client, server):
            texts = [one.text async for one in client.stream(MESSAGES, schema=None, max_tokens=8)]
            return server.asked()[0].headers, texts

    headers, texts = asyncio.run(run())
    assert "".join(texts) == "Ada"
    assert "traceparent" in headers

    async def fail() -> None:
        async with asking({CHAT: reply_status(400, {"error": {"message": "prompt was: Who?"}})}) as (client, _):
            await client.complete(MESSAGES, schema=None, max_tokens=8)

    spans.clear()
    with pytest.raises(GeneratorError):
        asyncio.run(fail())
    (call,) = named(spans, "generator call")
    assert call.status.status_code is StatusCode.ERROR
    assert "Who?" not in call.to_json()


def test_without_a_collector_a_model_server_is_told_nothing() -> None:
    async def run() -> dict[str, str]:
        async with asking({CHAT: reply_json(completion("Ada"))}) as (client, server):
            await client.complete(MESSAGES, schema=None, max_tokens=8)
            return server.asked()[0].headers

    assert "traceparent" not in asyncio.run(run())


def test_calls_that_are_tried_again_are_counted() -> None:
    async def run() -> tuple[int, dict[str, bool]]:
        from tests.unit.model_server import QUICK

        params = type(QUICK)(**{**vars(QUICK), "retries": 2, "backoff_s": 0.001})
        async with asking({CHAT: reply_status(503, {"error": {"message": "busy"}})}, params=params) as (client, _):
            with pytest.raises(GeneratorError):
                await client.complete(MESSAGES, schema=None, max_tokens=8)
            told = client.servers()
            return told.retries, dict(told.left_alone)

    retries, left_alone = asyncio.run(run())
    assert retries == 2
    assert list(left_alone.values()) == [False]
