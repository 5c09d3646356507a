"""Passages: look at one, and at what stands beside it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from memory_graph.errors import NotFound
from memory_graph.store.collections import get_collection
from memory_graph.store.neighbours import get_passage, read_neighbours
from service.access import READS
from service.learning_schemas import PassageDetailOut
from service.services import Parts

router = APIRouter(prefix="/v1/collections/{collection}", tags=["passages"])

MAX_CONTEXT = 50
MAX_ID = 2**63 - 1  # the database takes no number beyond


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
