"""Passages: look at one, and at what stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Path, Query
from sqlalchemy import RowMapping

from memory_graph.errors import NotFound
from memory_graph.graph_files import name_phrases
from memory_graph.marking import mark
from memory_graph.store.collections import get_collection
from memory_graph.store.marks import Findings, named_phrases, read_findings
from memory_graph.store.neighbours import get_passage, read_neighbours
from memory_graph.store.reading import document_passages, get_document
from service.access import READS
from service.learning_schemas import MarkedPassageOut, MarkedPassagesOut, PassageDetailOut
from service.paging import Cursor, Limit, Pages
from service.services import Parts

router = APIRouter(prefix="/v1/collections/{collection}", tags=["passages"])

MAX_CONTEXT = 50
MAX_ID = 2**63 - 1  # the database takes no number beyond
MAX_ORDINAL = 2**31 - 2
PAGES = Pages[tuple[int]]("passages", int)


@router.get("/passages", dependencies=[READS])
def list_page(
    collection: str,
    parts: Parts,
    document: Annotated[str, Query(min_length=1, max_length=1_000, description="A document's id")],
    first: Annotated[int, Query(alias="from", ge=0, le=MAX_ORDINAL, description="Begin at this place")] = 0,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> MarkedPassagesOut:
    """List a document's passages in order, with where names and facts stand in their texts."""
    (after,) = PAGES.read(cursor) or (first - 1,)
    with parts.database.read() as connection:
        row = get_document(connection, get_collection(connection, collection).id, document)
        if row is None:
            raise NotFound("document", document)
        rows = document_passages(connection, row["id"], first=min(after, MAX_ORDINAL) + 1, limit=limit + 1)
        page, following = PAGES.cut(rows, limit, lambda one: (one["ordinal"],))
        found = read_findings(connection, [one["id"] for one in page])
        names = name_phrases(connection, named_phrases(found))
    return MarkedPassagesOut(
        passages=[_marked(one, found[one["id"]], names) for one in page], total=row["passages"], next_cursor=following
    )


@router.get("/passages/{passage_id}", dependencies=[READS])
def show(
    collection: str,
    passage_id: Annotated[int, Path(ge=1, le=MAX_ID)],
    parts: Parts,
    context: Annotated[int, Query(ge=0, le=MAX_CONTEXT, description="Neighbours to return on either side")] = 0,
    episode: Annotated[
        str | None,
        Query(
            min_length=1,
            description="`source` or a field of the metadata: neighbours go on in the documents that share its value",
        ),
    ] = None,
) -> PassageDetailOut:
    """Return a passage, the ids of the one before and the one after it, and with `context` so many on either side."""
    with parts.database.read() as connection:
        passage = get_passage(connection, get_collection(connection, collection).id, passage_id)
        if passage is None:
            raise NotFound("passage", str(passage_id))
        count = max(context, 1)
        before = read_neighbours(connection, passage, "before", count, episode)
        after = read_neighbours(connection, passage, "after", count, episode)
    return PassageDetailOut.model_validate(
        {
            **passage,
            "previous": before[0]["id"] if before else None,
            "next": after[0]["id"] if after else None,
            "before": [dict(one) for one in reversed(before[:context])],
            "after": [dict(one) for one in after[:context]],
        }
    )


def _marked(passage: RowMapping, found: Findings, names: Mapping[int, str]) -> MarkedPassageOut:
    return MarkedPassageOut.model_validate(
        {
            **passage,
            "marks": mark(passage["text"], found.written, found.facts),
            "names": [{"id": one, "name": names[one], "count": count} for one, count in found.counts.items()],
            "facts": [
                {
                    "id": fact.id,
                    "subject": {"id": fact.subject_id, "name": names[fact.subject_id]},
                    "predicate": fact.predicate,
                    "object": {"id": fact.object_id, "name": names[fact.object_id]},
                }
                for fact in found.facts
            ],
        }
    )
