"""The questions that were asked, with their traces."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from memory_graph.store.queries import get_query, list_queries
from service.access import READS, Asking
from service.recall_schemas import QueriesOut, QueryDetailOut, QueryLogOut
from service.services import Parts

router = APIRouter(prefix="/v1/queries", tags=["queries"])


@router.get("", dependencies=[READS])
def list_newest(parts: Parts, caller: Asking, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> QueriesOut:
    """List the newest questions."""
    parts.query_log.flush()
    with parts.database.read() as connection:
        rows = list_queries(connection, among=caller.collections, limit=limit)
    return QueriesOut(queries=[QueryLogOut.model_validate(dict(row)) for row in rows])


@router.get("/{query_id}", dependencies=[READS])
def show(query_id: str, parts: Parts) -> QueryDetailOut:
    """Return a question with its answer and the trace of how it was found."""
    parts.query_log.flush()
    with parts.database.read() as connection:
        return QueryDetailOut.model_validate(dict(get_query(connection, query_id)))
