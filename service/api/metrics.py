"""Metrics in Prometheus's text format."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from service.access import ADMINS, Asking
from service.metrics import CONTENT_TYPE, write_text
from service.pulse import Pulse
from service.services import Parts

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "The metrics"}},
    dependencies=[ADMINS],
)
def show(request: Request, parts: Parts, caller: Asking) -> Response:
    """Return the metrics; a key that is bound to collections gets those of its collections alone."""
    pulse: Pulse = request.app.state.pulse
    doing = pulse.beat()

    def keep(collection: str | None) -> bool:
        if collection is None:
            return caller.collections is None
        # Of a collection that was deleted, a process may still hold numbers.
        return caller.sees(collection) and (doing is None or collection in doing.versions)

    families = (family for source in (parts.metrics.collect(), pulse.store.collect(doing)) for family in source)
    return Response(write_text(families, keep), media_type=CONTENT_TYPE)
