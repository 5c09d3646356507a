"""What a memory holds, for people: phrases, facts, the graph, numbers, and corrections. Answers are JSON objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sharpwave_client.call import Call, into, paged, write_key
from sharpwave_client.models import JsonObject, Page

_ONE = "/v1/collections/{collection}"


def list_phrases(
    collection: str,
    *,
    q: str | None = None,
    match: Literal["prefix", "substring"] = "substring",
    sort: Literal["name", "degree"] = "name",
    cursor: str | None = None,
    limit: int = 100,
) -> Call[Page[JsonObject]]:
    """List phrases by name, or those in most passages first; with ``q`` those that hold it or begin with it."""
    return _page(collection, "phrases", {"q": q, "match": match, "sort": sort, "cursor": cursor, "limit": limit})


def get_phrase(collection: str, phrase_id: int) -> Call[JsonObject]:
    """Return a phrase with its passages, facts and synonyms."""
    return _get(collection, "phrases/{phrase_id}", path={"phrase_id": phrase_id})


def list_facts(
    collection: str,
    *,
    subject: str | None = None,
    predicate: str | None = None,
    object: str | None = None,
    document: str | None = None,
    cursor: str | None = None,
    limit: int = 100,
) -> Call[Page[JsonObject]]:
    """List facts, by any of their parts or by the document that states them."""
    which = {"subject": subject, "predicate": predicate, "object": object, "document": document}
    return _page(collection, "facts", which | {"cursor": cursor, "limit": limit})


def get_fact(collection: str, fact_id: int) -> Call[JsonObject]:
    """Return a fact with the passages that state it."""
    return _get(collection, "facts/{fact_id}", path={"fact_id": fact_id})


def get_graph(
    collection: str,
    center: str | None = None,
    *,
    phrase: int | None = None,
    hops: int | None = None,
    limit: int | None = None,
) -> Call[JsonObject]:
    """Return the graph around a name, or around the phrase of an id, as node-link JSON."""
    return _get(collection, "graph", {"center": center, "phrase": phrase, "hops": hops, "limit": limit})


def get_neighbourhood(
    collection: str,
    phrases: Sequence[int],
    *,
    members: Sequence[int] = (),
    kinds: Sequence[str] = (),
    least: int | None = None,
    steps: int | None = None,
    limit: int | None = None,
) -> Call[JsonObject]:
    """Return the names around phrases, by their ids, and what joins each two of them; of ``members`` only the latter.

    ``kinds`` are fact, passage and synonym; all, if none is given.
    """
    asked = {"phrase": list(phrases), "member": list(members), "kind": list(kinds)}
    return _get(collection, "neighbourhood", asked | {"least": least, "steps": steps, "limit": limit})


def find_path(
    collection: str, source: str, target: str, *, steps: int | None = None, paths: int | None = None
) -> Call[JsonObject]:
    """Return up to so many ``paths`` of at most ``steps`` between two names, with the passages that prove each step."""
    return _get(collection, "path", {"from": source, "to": target, "steps": steps, "paths": paths})


def list_communities(collection: str, *, limit: int | None = None) -> Call[JsonObject]:
    """Return groups of names that belong together, of the ``limit`` best-connected ones."""
    return _get(collection, "communities", {"limit": limit})


def get_stats(collection: str) -> Call[JsonObject]:
    """Return numbers about a memory."""
    return _get(collection, "stats")


def list_corrections(
    collection: str,
    *,
    state: Literal["active", "undone", "forgotten"] | None = None,
    kind: Literal["merge", "split", "retract"] | None = None,
    cursor: str | None = None,
    limit: int = 100,
) -> Call[Page[JsonObject]]:
    """List what was corrected, the newest first; those that were undone too."""
    return _page(collection, "corrections", {"state": state, "kind": kind, "cursor": cursor, "limit": limit})


def correct(collection: str, correction: Mapping[str, Any]) -> Call[JsonObject]:
    """Correct the memory: ``kind`` is merge, split or retract, the rest says what."""
    return Call(
        method="POST",
        route=f"{_ONE}/corrections",
        path={"collection": collection},
        body=dict(correction),
        headers=write_key(),
        read=into(JsonObject),
    )


def preview_correction(collection: str, correction: Mapping[str, Any]) -> Call[JsonObject]:
    """Return what a correction would change; none is made."""
    return Call(
        method="POST",
        route=f"{_ONE}/corrections/preview",
        path={"collection": collection},
        body=dict(correction),
        read=into(JsonObject),
    )


def undo_correction(collection: str, correction_id: int) -> Call[JsonObject]:
    """Undo a correction, and return it."""
    path = {"collection": collection, "correction_id": correction_id}
    route = f"{_ONE}/corrections/{{correction_id}}"
    return Call(method="DELETE", route=route, path=path, headers=write_key(), read=into(JsonObject))


def _get(
    collection: str, below: str, params: Mapping[str, object] | None = None, path: Mapping[str, object] | None = None
) -> Call[JsonObject]:
    named = {"collection": collection} | dict(path or {})
    return Call(method="GET", route=f"{_ONE}/{below}", path=named, params=params or {}, read=into(JsonObject))


def _page(collection: str, noun: str, params: Mapping[str, object]) -> Call[Page[JsonObject]]:
    path = {"collection": collection}
    return Call(method="GET", route=f"{_ONE}/{noun}", path=path, params=params, read=paged(JsonObject, noun))
