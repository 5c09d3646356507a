"""Searches, questions and answers, and what is noted and logged of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias

import httpx
from pydantic import TypeAdapter

from sharpwave_client.call import Call, into, listed, nothing, paged, write_key
from sharpwave_client.models import Answer, JsonObject, KeptNote, LoggedQuery, Page, QueryDetail, SearchResult

Mode: TypeAlias = Literal["graph", "dense", "hybrid"]
Rerank: TypeAlias = Literal["chain", "cross", "none"]
Strategy: TypeAlias = Literal["direct", "notes", "extract", "reflect", "thoughts", "auto"]
Order: TypeAlias = Literal["edges", "best_first", "document"]
QueryOrder: TypeAlias = Literal["newest", "unanswered_first"]

_SEARCH = "/v1/collections/{collection}/search"
_QUERY = "/v1/queries/{query_id}"
_NOTES = "/v1/collections/{collection}/notes"


def search(
    collection: str,
    query: str,
    *,
    top_k: int = 10,
    mode: Mode = "graph",
    rerank: Rerank | None = None,
    filter: Mapping[str, Any] | None = None,
    min_version: int = 0,
    trace: bool = False,
) -> Call[SearchResult]:
    """Find passages. ``min_version`` waits for a commit, as that of a job."""
    body = {"query": query} | _options(top_k, mode, rerank, filter, min_version, trace)
    return Call(method="POST", route=_SEARCH, path={"collection": collection}, body=body, read=into(SearchResult))


def search_many(
    collection: str,
    queries: Sequence[str],
    *,
    top_k: int = 10,
    mode: Mode = "graph",
    rerank: Rerank | None = None,
    filter: Mapping[str, Any] | None = None,
    min_version: int = 0,
    trace: bool = False,
) -> Call[list[SearchResult]]:
    """Find passages for several queries in one request; the results are in their order."""
    body = {"query": list(queries)} | _options(top_k, mode, rerank, filter, min_version, trace)
    read = listed(SearchResult, "results")
    return Call(method="POST", route=_SEARCH, path={"collection": collection}, body=body, read=read)


def ask(
    collection: str,
    question: str,
    *,
    top_k: int = 5,
    mode: Mode = "graph",
    rerank: Rerank | None = None,
    filter: Mapping[str, Any] | None = None,
    min_version: int = 0,
    trace: bool = False,
    strategy: Strategy = "direct",
    order: Order = "edges",
    warm_start: bool = False,
) -> Call[Answer]:
    """Answer a question with citations."""
    return Call(
        method="POST",
        route="/v1/collections/{collection}/query",
        path={"collection": collection},
        body={"question": question, "strategy": strategy, "order": order, "warm_start": warm_start}
        | _options(top_k, mode, rerank, filter, min_version, trace),
        slow=True,
        read=into(Answer),
    )


def list_queries(
    *,
    collection: str | None = None,
    q: str | None = None,
    answered: bool | None = None,
    fallback: bool | None = None,
    rating: Literal[1, -1] | None = None,
    rated: bool | None = None,
    document: str | None = None,
    least_ms: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    order: QueryOrder = "newest",
    cursor: str | None = None,
    limit: int = 50,
) -> Call[Page[LoggedQuery]]:
    """List the questions that were asked, the newest first, or those without an answer before the others.

    ``q`` stands in question or answer; the answer quotes ``document``; it took ``least_ms`` or more.
    """
    only = {"collection": collection, "q": q, "document": document, "least_ms": least_ms}
    only |= {"answered": answered, "fallback": fallback, "rating": rating, "rated": rated}
    params = {**only, "since": since, "until": until, "order": order, "cursor": cursor, "limit": limit}
    return Call(method="GET", route="/v1/queries", params=params, read=paged(LoggedQuery, "queries"))


def get_query(query_id: str) -> Call[QueryDetail]:
    """Return a question with its answer and the trace of how it was found."""
    return Call(method="GET", route=_QUERY, path={"query_id": query_id}, read=into(QueryDetail))


def rate_answer(
    query_id: str, rating: Literal[1, -1], *, comment: str | None = None, correct_answer: str | None = None
) -> Call[JsonObject | None]:
    """Say whether an answer was right, and what would have been."""
    said = {"rating": rating, "comment": comment, "correct_answer": correct_answer}
    return Call(
        method="POST",
        route=f"{_QUERY}/feedback",
        path={"query_id": query_id},
        body={name: value for name, value in said.items() if value is not None},
        headers=write_key(),
        read=_object_if_any,
    )


def list_notes(
    collection: str,
    *,
    changed: bool | None = None,
    cursor: str | None = None,
    limit: int = 50,
    before: int | None = None,
) -> Call[Page[KeptNote]]:
    """List the notes that were kept, the newest first; ``before`` is a note's id.

    ``changed``: only those of whose documents one changed since, or none did.
    """
    params = {"changed": changed, "cursor": cursor, "limit": limit, "before": before}
    path = {"collection": collection}
    return Call(method="GET", route=_NOTES, path=path, params=params, read=paged(KeptNote, "notes"))


def forget_note(collection: str, note_id: int) -> Call[None]:
    """Forget a note; the passages that it rests on stay."""
    path = {"collection": collection, "note_id": note_id}
    return Call(method="DELETE", route=f"{_NOTES}/{{note_id}}", path=path, headers=write_key(), read=nothing)


def _object_if_any(response: httpx.Response) -> JsonObject | None:
    return TypeAdapter(JsonObject).validate_json(response.content) if response.content else None


def _options(
    top_k: int,
    mode: Mode,
    rerank: Rerank | None,
    filter: Mapping[str, Any] | None,
    min_version: int,
    trace: bool,
) -> dict[str, Any]:
    given: dict[str, Any] = {"top_k": top_k, "mode": mode, "min_version": min_version, "trace": trace}
    if rerank is not None:
        given["rerank"] = rerank
    if filter:
        given["filter"] = dict(filter)
    return given
