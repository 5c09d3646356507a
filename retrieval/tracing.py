"""Spans around what takes time, where somebody collects them; otherwise a span costs next to nothing.

Attributes hold names and ids of ours and numbers: no question, no text, no name of a document, no key. An error is told
by its class, since its words may repeat what was asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_NAME = "sharpwave"
_OFF: AbstractContextManager[Span | None] = nullcontext()
_propagator = TraceContextTextMapPropagator()
_tracer: Tracer | None = None


def use(provider: TracerProvider | None) -> None:
    """Have spans made by ``provider`` from now on, None for no more.

    It is not made the process's global one: the libraries below would trace as well, and what they write is not ours.
    """
    global _tracer
    _tracer = None if provider is None else provider.get_tracer(_NAME)


def span(
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    parent: Context | None = None,
    links: tuple[Link, ...] = (),
    **attributes: str | int | float | bool,
) -> AbstractContextManager[Span | None]:
    """Return a context that is a span, None where spans are not collected; ``__`` in an attribute stands for a dot."""
    if _tracer is None:
        return _OFF
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    return _make(_tracer, name, kind, parent, links, named)


def headers() -> dict[str, str]:
    """Return the headers (``traceparent``) that tell another service of the present span, none where there is none."""
    carried: dict[str, str] = {}
    if _tracer is not None:
        _propagator.inject(carried)
    return carried


def traceparent() -> str | None:
    """Return the present span as W3C Trace Context writes it, None where there is none."""
    return headers().get("traceparent")


def trace_id() -> str | None:
    """Return the id of the present trace in hexadecimal digits, None where there is none."""
    here = trace.get_current_span().get_span_context() if _tracer is not None else None
    return trace.format_trace_id(here.trace_id) if here is not None and here.is_valid else None


def read_context(given: str | None) -> Context | None:
    """Return the context that a ``traceparent`` tells of, None for none, or where spans are not collected."""
    if _tracer is None or not given:
        return None
    return _propagator.extract({"traceparent": given})


def links_to(given: str | None) -> tuple[Link, ...]:
    """Return links to the span that a ``traceparent`` tells of."""
    context = read_context(given)
    there = trace.get_current_span(context).get_span_context() if context is not None else None
    return (Link(there),) if there is not None and there.is_valid else ()


@contextmanager
def _make(
    tracer: Tracer,
    name: str,
    kind: SpanKind,
    parent: Context | None,
    links: tuple[Link, ...],
    attributes: dict[str, str | int | float | bool],
) -> Iterator[Span]:
    with tracer.start_as_current_span(
        name,
        context=parent,
        kind=kind,
        links=links,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as made:
        try:
            yield made
        except BaseException as error:
            made.set_attribute("error.type", type(error).__name__)
            made.set_status(Status(StatusCode.ERROR))
            raise
