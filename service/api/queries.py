"""The questions that were asked, with their traces."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from memory_graph.errors import NotFound
from memory_graph.store.queries import get_query, list_queries, rate_query
from service.access import READS, Asking
from service.inspection_schemas import FeedbackIn, FeedbackOut
from service.recall_schemas import QueriesOut, QueryDetailOut, QueryLogOut
from service.services import Parts

router = APIRouter(prefix="/v1/queries", tags=["queries"])


@router.get("", dependencies=[READS])
def list_newest(
    parts: Parts,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    rating: Annotated[Literal["1", "-1"] | None, Query(description="Only those that were rated so")] = None,
    rated: Annotated[bool | None, Query(description="Only those with a rating, or without one")] = None,
) -> QueriesOut:
    """List the newest questions."""
    parts.query_log.flush()
    with parts.database.read() as connection:
        rows = list_queries(connection, limit=limit, rating=int(rating) if rating else None, rated=rated)
    return QueriesOut(queries=[QueryLogOut.model_validate(dict(row)) for row in rows])


@router.get("/{query_id}", dependencies=[READS])
def show(query_id: str, parts: Parts) -> QueryDetailOut:
    """Return a question with its answer and the trace of how it was found."""
    parts.query_log.flush()
    with parts.database.read() as connection:
        return QueryDetailOut.model_validate(dict(get_query(connection, query_id)))


@router.post("/{query_id}/feedback", dependencies=[READS])
def rate(query_id: str, body: FeedbackIn, parts: Parts, caller: Asking) -> FeedbackOut:
    """Say whether an answer was right, and what would have been; what was said before is replaced."""
    parts.query_log.flush()
    with parts.database.write() as connection:
        if not caller.sees(get_query(connection, query_id)["collection"]):
            raise NotFound("query", query_id)
        said = body.model_dump()
        return FeedbackOut(**said, rated_at=rate_query(connection, query_id, **said))
