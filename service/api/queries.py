"""The questions that were asked, with their traces."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from memory_graph.errors import NotFound
from memory_graph.store.passage_names import name_passages
from memory_graph.store.queries import QueryFilter, get_query, list_queries, rate_query
from service.access import READS, Asking
from service.inspection_schemas import FeedbackIn, FeedbackOut
from service.paging import Cursor, Limit, Pages
from service.recall_schemas import QueriesOut, QueryDetailOut, QueryLogOut
from service.schemas import Moment
from service.services import Parts, choose_collection
from service.traces import passages_in

router = APIRouter(prefix="/v1/queries", tags=["queries"])

PAGES = Pages[tuple[datetime, str]]("queries", datetime, str)
BY_OUTCOME = Pages[tuple[bool, datetime, str]]("queries by outcome", bool, datetime, str)
MAX_TEXT_CHARS = 1_000
MAX_MS = 10**9


@router.get("", dependencies=[READS])
def list_newest(
    parts: Parts,
    caller: Asking,
    collection: Annotated[str | None, Query(description="Only questions to this collection")] = None,
    answered: Annotated[bool | None, Query(description="Whether the memory knew")] = None,
    fallback: Annotated[bool | None, Query(description="Whether anything was answered around")] = None,
    since: Annotated[Moment | None, Query(description="Only those from this moment on")] = None,
    until: Annotated[Moment | None, Query(description="Only those before this moment")] = None,
    rating: Annotated[Literal["1", "-1"] | None, Query(description="Only those that were rated so")] = None,
    rated: Annotated[bool | None, Query(description="Only those with a rating, or without one")] = None,
    document: Annotated[str | None, Query(max_length=1_000, description="Only those whose answer quotes it")] = None,
    q: Annotated[
        str, Query(max_length=MAX_TEXT_CHARS, description="Only those with this text in question or answer")
    ] = "",
    least_ms: Annotated[
        int | None, Query(ge=0, le=MAX_MS, description="Only those that took so many milliseconds, or more")
    ] = None,
    order: Annotated[
        Literal["newest", "unanswered_first"], Query(description="Which come first; of equals the newest")
    ] = "newest",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> QueriesOut:
    """List the newest questions."""
    first = order == "unanswered_first"
    place = BY_OUTCOME.read(cursor) if first else PAGES.read(cursor)
    parts.query_log.flush()
    with parts.database.read() as connection:
        only = QueryFilter(
            collection_id=choose_collection(connection, caller, collection),
            among=caller.collections,
            answered=answered,
            fallback=fallback,
            since=since,
            until=until,
            rating=int(rating) if rating else None,
            rated=rated,
            document=document,
            text=q.strip(),
            least_ms=least_ms,
        )
        rows = list_queries(
            connection,
            limit=limit + 1,
            after=place and place[-2:],
            after_found=bool(place and place[0]) if first else None,
            only=only,
            unanswered_first=first,
        )
    if first:
        page, following = BY_OUTCOME.cut(rows, limit, lambda row: (row["found"], row["created_at"], row["id"]))
    else:
        page, following = PAGES.cut(rows, limit, lambda row: (row["created_at"], row["id"]))
    return QueriesOut(queries=[QueryLogOut.model_validate(dict(row)) for row in page], next_cursor=following)


@router.get("/{query_id}", dependencies=[READS])
def show(query_id: str, parts: Parts) -> QueryDetailOut:
    """Return a question with its answer and the trace of how it was found."""
    parts.query_log.flush()
    with parts.database.read() as connection:
        found = get_query(connection, query_id)
        names = name_passages(connection, found["collection_id"], passages_in(found["trace"]))
    return QueryDetailOut.model_validate({**found, "passages": [dict(name) for name in names.values()]})


@router.post("/{query_id}/feedback", dependencies=[READS])
def rate(query_id: str, body: FeedbackIn, parts: Parts, caller: Asking) -> FeedbackOut:
    """Say whether an answer was right, and what would have been; what was said before is replaced."""
    parts.query_log.flush()
    with parts.database.write() as connection:
        if not caller.sees(get_query(connection, query_id)["collection"]):
            raise NotFound("query", query_id)
        said = body.model_dump()
        return FeedbackOut(**said, rated_at=rate_query(connection, query_id, **said))
