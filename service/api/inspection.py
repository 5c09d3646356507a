"""Look at what a memory holds: names, facts with their evidence, the graph around a name, and figures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from io import StringIO
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from pydantic import Field
from sqlalchemy import Connection, Row

from memory_graph.errors import InvalidInput, NotFound
from memory_graph.graph_files import TIE_KINDS, TieKind
from memory_graph.store import browsing, inspecting
from memory_graph.store.browsing import Match, Sort
from memory_graph.store.collections import get_collection
from memory_graph.store.merged import find_or_follow, follow_merged
from memory_graph.store.statistics import measure
from memory_graph.text import normalize
from retrieval.likeness import synonyms_of
from service.access import READS
from service.inspection_schemas import (
    CommunitiesOut,
    FactDetailOut,
    FactOut,
    FactsOut,
    NameGraphOut,
    PathOut,
    PhraseDetailOut,
    PhraseOut,
    PhrasesOut,
    StatsOut,
)
from service.paging import MAX_ID, Cursor, Limit, Pages
from service.services import Parts

router = APIRouter(prefix="/v1/collections/{collection}", tags=["inspection"], dependencies=[READS])

SHOWN = 50  # passages, documents, facts and surface forms of one phrase or fact

PHRASES: dict[Sort, Pages[tuple[int, str]]] = {
    "name": Pages("phrases by name", int, str),
    "degree": Pages("phrases by degree", int, str),
}
FACTS = Pages[tuple[int]]("facts", int)
RowId = Annotated[int, Path(ge=1, le=MAX_ID)]
OneId = Annotated[int, Field(ge=1, le=MAX_ID)]


@router.get("/phrases")
def list_phrases(
    collection: str,
    parts: Parts,
    q: Annotated[str, Query(max_length=1000, description="What is typed of a name")] = "",
    match: Annotated[Match, Query(description="Whether names begin with `q`, or hold it")] = "substring",
    sort: Annotated[Sort, Query(description="By name, or those in most passages first")] = "name",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> PhrasesOut:
    """List names, as they are typed, a page at a time."""
    pages = PHRASES[sort]
    after = pages.read(cursor)
    with parts.database.read() as connection:
        rows = browsing.browse_phrases(
            connection,
            get_collection(connection, collection).id,
            q=q,
            match=match,
            sort=sort,
            after=after,
            limit=limit + 1,
        )
        page, following = pages.cut(rows, limit, lambda row: (row.degree, row.key))
        names = _names(connection, [row.id for row in page])
        became = None if cursor else _became(connection, get_collection(connection, collection).id, q)
    found = [PhraseOut(id=row.id, name=names[row.id], key=row.key, degree=row.degree) for row in page]
    return PhrasesOut(phrases=found, next_cursor=following, became=became)


@router.get("/phrases/{phrase_id}")
def show_phrase(collection: str, phrase_id: RowId, parts: Parts) -> PhraseDetailOut:
    """Return a name with how it is written, and the passages, documents, facts and synonyms that it has."""
    _, view = parts.views.current(collection)
    with parts.database.read() as connection:
        cid = get_collection(connection, collection).id
        asked, phrase_id = phrase_id, follow_merged(connection, cid, [phrase_id]).get(phrase_id, phrase_id)
        near = synonyms_of(view, phrase_id)
        key = browsing.get_phrase(connection, cid, phrase_id)
        if key is None:
            raise NotFound("phrase", str(phrase_id))
        stated = _facts(connection, browsing.facts_about(connection, cid, phrase_id, SHOWN))
        names = _names(connection, [phrase_id, *(one for one, _ in near)])
        return PhraseDetailOut.model_validate(
            {
                "id": phrase_id,
                "name": names[phrase_id],
                "key": key,
                "degree": inspecting.count_mentions(connection, "phrase_id", [phrase_id]).get(phrase_id, 0),
                "surfaces": browsing.surface_forms(connection, phrase_id, SHOWN),
                "passages": [
                    {**row._mapping, "passage_id": row.id, "count": row.times}
                    for row in browsing.mentioning_passages(connection, phrase_id, SHOWN)
                ],
                "documents": browsing.mentioning_documents(connection, phrase_id, SHOWN),
                "facts": stated,
                "synonyms": [
                    {"id": one, "name": names[one], "similarity": similarity}
                    for one, similarity in near
                    if one in names
                ],
                "merged_from": asked if asked != phrase_id else None,
            }
        )


@router.get("/facts")
def list_facts(
    collection: str,
    parts: Parts,
    subject: Annotated[str | None, Query(max_length=1000)] = None,
    predicate: Annotated[str | None, Query(max_length=1000)] = None,
    object_: Annotated[str | None, Query(alias="object", max_length=1000)] = None,
    document: Annotated[str | None, Query(max_length=1000, description="A document's id")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> FactsOut:
    """List facts, a page at a time; all that is given must be so."""
    (after,) = FACTS.read(cursor) or (0,)
    with parts.database.read() as connection:
        rows = browsing.browse_facts(
            connection,
            get_collection(connection, collection).id,
            subject=subject,
            predicate=predicate,
            object_=object_,
            document=document,
            after=after,
            limit=limit + 1,
        )
        page, following = FACTS.cut(rows, limit, lambda row: (row.id,))
        found = _facts(connection, page)
    return FactsOut(facts=found, next_cursor=following)


@router.get("/facts/{fact_id}")
def show_fact(collection: str, fact_id: RowId, parts: Parts) -> FactDetailOut:
    """Return a fact with the first passages that state it."""
    with parts.database.read() as connection:
        row = browsing.get_fact(connection, get_collection(connection, collection).id, fact_id)
        if row is None:
            raise NotFound("fact", str(fact_id))
        (fact,) = _facts(connection, [row])
        passage_ids = inspecting.read_fact_sources(connection, fact_id, SHOWN)
        passages = inspecting.read_passages(connection, passage_ids, texts=True)
        evidence = [{**passages[one]._mapping, "passage_id": one} for one in passage_ids]
    return FactDetailOut.model_validate({**fact.model_dump(), "evidence": evidence})


@router.get("/graph", response_model=None, responses={200: {"content": {"application/graphml+xml": {}}}})
async def show_graph(
    collection: str,
    parts: Parts,
    center: Annotated[str | None, Query(max_length=1000, description="A name")] = None,
    phrase: Annotated[int | None, Query(ge=1, le=MAX_ID, description="Or the id of a phrase")] = None,
    hops: int = 1,
    limit: int = 100,
    format_: Annotated[Literal["node-link", "graphml"], Query(alias="format")] = "node-link",
) -> Response:
    """Return what is around a name, as node-link JSON or as GraphML."""
    return await run_in_threadpool(_graph, collection, parts, center, phrase, hops, limit, format_)


def _graph(
    collection: str, parts: Any, center: str | None, phrase: int | None, hops: int, limit: int, format_: str
) -> Response:
    # networkx takes a while to import: only these routes pay for it.
    from memory_graph.graph_files import node_link, write_graphml
    from memory_graph.inspect import ego_graph

    with parts.database.read() as connection:
        cid = get_collection(connection, collection).id
        if (center is None) == (phrase is None):
            raise InvalidInput("center", "give a name, or the id of a phrase as `phrase`")
        if phrase is not None:
            phrase = follow_merged(connection, cid, [phrase]).get(phrase, phrase)
        name = center if phrase is None else browsing.get_phrase(connection, cid, phrase)
        if name is None:
            raise NotFound("phrase", str(phrase))
        found = ego_graph(connection, cid, name, hops=hops, limit=limit)
    found.graph["collection"] = collection
    if format_ == "node-link":
        return JSONResponse(node_link(found))
    file = StringIO()
    write_graphml(found, file)
    return Response(file.getvalue(), media_type="application/graphml+xml")


@router.get("/neighbourhood")
def show_neighbourhood(
    collection: str,
    parts: Parts,
    phrase: Annotated[list[OneId], Query(description="Ids of phrases whose neighbours are wanted")] = [],  # noqa: B006
    member: Annotated[list[OneId], Query(description="Ids of phrases that are shown without theirs")] = [],  # noqa: B006
    kind: Annotated[list[TieKind], Query(description="Of ties; all, if none is given")] = [],  # noqa: B006
    least: Annotated[int, Query(ge=1, le=MAX_ID, description="Passages that a fact or two names need")] = 1,
    steps: int = 1,
    limit: int = 100,
) -> NameGraphOut:
    """Return names around some names, and what joins each two of them: facts, passages, likeness."""
    from memory_graph.name_graph import names_around

    _, view = parts.views.current(collection)
    with parts.database.read() as connection:
        cid = get_collection(connection, collection).id
        merged = follow_merged(connection, cid, [*phrase, *member])
        found = names_around(
            connection,
            cid,
            [merged.get(one, one) for one in phrase],
            members=[merged.get(one, one) for one in member],
            steps=steps,
            limit=limit,
            kinds=kind or TIE_KINDS,
            least=least,
            synonyms=partial(synonyms_of, view),
        )
    name = {one.id: one.name for one in found.names}
    told = [{"id": one, "into": into, "name": name[into]} for one, into in sorted(merged.items())]
    return NameGraphOut.model_validate({**vars(found), "merged": told})


@router.get("/path")
def show_path(
    collection: str,
    parts: Parts,
    source: Annotated[str, Query(alias="from", max_length=1000, description="A name")],
    target: Annotated[str, Query(alias="to", max_length=1000, description="Another")],
    steps: int = 4,
    paths: int = 3,
) -> PathOut:
    """Return the shortest paths between two names, with the passages and facts that prove each step."""
    from memory_graph.evidence import evidence_paths

    with parts.database.read() as connection:
        cid = get_collection(connection, collection).id
        found = evidence_paths(connection, cid, source, target, steps=steps, paths=paths)
    return PathOut.model_validate(found)


@router.get("/communities")
def list_communities(collection: str, parts: Parts, limit: int = 500) -> CommunitiesOut:
    """Group the best-connected names by the passages that they share."""
    with parts.database.read() as connection:
        found = parts.groups.read(connection, get_collection(connection, collection), limit)
    return CommunitiesOut.model_validate(found)


@router.get("/stats")
def show_stats(collection: str, parts: Parts) -> StatsOut:
    """Return how large a memory is, how its names are connected, and how it grew; it reads all of it once."""
    view_bytes = parts.views.nbytes().get(collection, {})
    with parts.database.read() as connection:
        one = get_collection(connection, collection)
        found = measure(connection, one.id)
        names = _names(connection, [phrase_id for phrase_id, _, _ in found.most_connected])
    connected = [
        PhraseOut(id=phrase_id, name=names[phrase_id], key=key, degree=degree)
        for phrase_id, key, degree in found.most_connected
    ]
    told = {name: getattr(found, name) for name in StatsOut.model_fields if hasattr(found, name)}
    counts = {name: getattr(found.counts, name) for name in ("documents", "passages", "phrases", "facts")}
    rest = {"version": one.version, "view_bytes": view_bytes, "most_connected": connected}
    return StatsOut.model_validate({**told, **counts, **rest})


def _became(connection: Connection, collection_id: int, name: str) -> PhraseOut | None:
    """Return what a name was merged into, if it was."""
    if not (key := normalize(name)) or (one := find_or_follow(connection, collection_id, key)) is None:
        return None
    known = inspecting.read_keys(connection, [one])[one]
    if known == key:
        return None
    degree = inspecting.read_degrees(connection, [one])[one]
    return PhraseOut(id=one, name=_names(connection, [one])[one], key=known, degree=degree)


def _names(connection: Connection, phrase_ids: list[int]) -> dict[int, str]:
    from memory_graph.graph_files import name_phrases

    return name_phrases(connection, phrase_ids)


def _facts(connection: Connection, rows: Sequence[Row[Any]]) -> list[FactOut]:
    names = _names(connection, sorted({end for row in rows for end in (row.subject_id, row.object_id)}))
    held = browsing.count_evidence(connection, [row.id for row in rows])
    return [
        FactOut.model_validate(
            {
                "id": row.id,
                "subject": {"id": row.subject_id, "name": names[row.subject_id]},
                "predicate": row.predicate,
                "object": {"id": row.object_id, "name": names[row.object_id]},
                "passages": held.get(row.id, (0, 0))[0],
                "documents": held.get(row.id, (0, 0))[1],
            }
        )
        for row in rows
    ]
