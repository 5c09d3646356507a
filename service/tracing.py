"""Spans are sent to an OpenTelemetry collector where one is named, and not made otherwise."""

from __future__ import annotations

import os

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from retrieval import tracing
from service import __version__
from service.settings import Settings

# Those of the OpenTelemetry specification: its library reads them, with its others (headers, sampling, time-outs).
STANDARD = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PATH = "/v1/traces"


def start_tracing(settings: Settings, part: str) -> TracerProvider | None:
    """Begin to send spans of this process (``part``: ``api`` or ``worker``); None where no collector is named."""
    if not (settings.otlp_endpoint or any(os.environ.get(name) for name in STANDARD)):
        return None
    # The setting names the collector, as the standard variable does; the path of traces is added to both.
    endpoint = settings.otlp_endpoint.rstrip("/") + _PATH if settings.otlp_endpoint else None
    named = {"service.name": "sharpwave", "service.version": __version__, "sharpwave.part": part}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    tracing.use(provider)
    return provider


def stop_tracing(provider: TracerProvider | None) -> None:
    """Send what waits and make no more spans."""
    if provider is not None:
        tracing.use(None)
        provider.shutdown()
