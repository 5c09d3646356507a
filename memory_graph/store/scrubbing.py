"""What other rows say of documents that are forgotten: the log of questions, and the items of jobs.

These rows stay, for their counts and times; the words in them go. A logged question loses its words when its answer
was read off a passage that goes, or when any of its texts has a name in it that only the forgotten documents had.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from memory_graph.store.replies import drop_replies_about
from memory_graph.store.rows import chunks, read_parts
from memory_graph.tables import citations, job_items, jobs, passages, queries, replies
from memory_graph.text import words

SCRUBBED = "(forgotten)"
_UPWARDS = re.compile(r"^(?:\.\./)+")


class Names:
    """Names as sequences of normalised words, found wherever their words stand in a text."""

    def __init__(self, names: Iterable[str]) -> None:
        self._by_first: dict[str, set[tuple[str, ...]]] = {}
        for name in names:
            if spelled := tuple(words(name)):
                self._by_first.setdefault(spelled[0], set()).add(spelled)

    def stand_in(self, text: str) -> bool:
        """Say whether any of the names stands in a text."""
        if not self._by_first:
            return False
        found = words(text)
        return any(
            tuple(found[at : at + len(name)]) == name
            for at, word in enumerate(found)
            for name in self._by_first.get(word, ())
        )


def scrub_queries(
    connection: Connection, collection_id: int, keys: set[str], passage_ids: set[int], names: Names
) -> int:
    """Take the words out of logged questions that rest on these documents or name them; return how many questions."""
    rows = select(queries).where(queries.c.collection_id == collection_id)
    touched = [
        row
        for part in read_parts(connection, rows)
        for row in part
        if not row.trace.get("forgotten")
        and (
            passage_ids.intersection(read_off(row.trace))
            or any(hit.get("document_id") in keys for hit in row.trace.get("hits", ()))
            or names.stand_in("\n".join(_texts(_words_of(row))))
        )
    ]
    for row in touched:
        values = without_words(row._mapping) | {"comment": None, "correct_answer": None}
        connection.execute(update(queries).where(queries.c.id == row.id).values(values))
        connection.execute(delete(citations).where(citations.c.query_id == row.id))
    return len(touched)


def _words_of(row: Row[Any]) -> list[Any]:
    said = (row.question, row.answer, row.fallback_reason, row.comment, row.correct_answer)
    return [*(one for one in said if one), row.trace]


def scrub_all_queries(connection: Connection, collection_id: int) -> int:
    """Take the words out of all logged questions to a collection; return how many had any."""
    return scrub_queries(connection, collection_id, set(), set(), _Any())


def read_off(trace: Mapping[str, Any]) -> set[int]:
    """Return the ids of the passages that a trace says were found or shown."""
    found = {hit["passage_id"] for hit in trace.get("hits", ()) if "passage_id" in hit}
    return found | set(trace.get("order", ()))


def without_words(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the columns of a logged question that change when its words go; times and counts stay."""
    trace = row["trace"]
    stages = [{"name": one["name"], "ms": one["ms"], "detail": {}} for one in trace.get("stages", ())]
    kept = {name: trace[name] for name in ("version", "strategy") if name in trace}
    reason = row["fallback_reason"]
    return {
        "question": SCRUBBED,
        "answer": "",
        # The code of an error, without its message, which may quote a prompt.
        "fallback_reason": reason and reason.partition(":")[0],
        "trace": {**kept, "forgotten": True, "order": [], "hits": [], "stages": stages},
    }


def keep_unforgotten(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return questions to be logged, those without words that rest on passages which were forgotten meanwhile."""
    wanted = sorted({passage_id for row in rows for passage_id in read_off(row["trace"])})
    live: set[int] = set()
    for some in chunks(wanted):
        live.update(connection.scalars(select(passages.c.id).where(passages.c.id.in_(some))))
    return [
        dict(row) if read_off(row["trace"]) <= live else {**row, **without_words({"fallback_reason": None, **row})}
        for row in rows
    ]


def scrub_items(connection: Connection, collection_id: int, keys: Sequence[str] | None) -> int:
    """Take names, errors and staged texts of these documents out of jobs; return of how many items.

    What still waited to be learned is cancelled: it was submitted before. ``keys`` None means all items.
    """
    item_ids = _items_of(connection, collection_id, keys)
    for some in chunks(item_ids):
        waiting = update(job_items).where(job_items.c.id.in_(some), job_items.c.state == "pending")
        connection.execute(waiting.values(state="cancelled"))
        values = {"name": SCRUBBED, "error": None, "payload": None, "data": None, "held": False}
        connection.execute(update(job_items).where(job_items.c.id.in_(some)).values(values))
    if item_ids or keys is None:
        # Why a job failed may quote what a model server said of a prompt.
        ended = update(jobs).where(jobs.c.collection_id == collection_id, jobs.c.finished_at.is_not(None))
        connection.execute(ended.where(jobs.c.error.is_not(None)).values(error=SCRUBBED))
    return len(item_ids)


def _items_of(connection: Connection, collection_id: int, keys: Sequence[str] | None) -> list[int]:
    """Return the ids of the items that learned these documents, or were to; None means all items."""
    of_collection = job_items.c.job_id.in_(select(jobs.c.id).where(jobs.c.collection_id == collection_id))
    here = of_collection, job_items.c.name != SCRUBBED
    if keys is None:
        return list(connection.scalars(select(job_items.c.id).where(*here)))
    found: set[int] = set()
    for some in chunks(keys):
        found.update(connection.scalars(select(job_items.c.id).where(*here, job_items.c.name.in_(some))))
    # A file is named as it was given, from wherever that was; its document by its whole path.
    wanted = set(keys)
    ends = {
        "/".join(parts[at:]) for key in keys if "/" in key for parts in [key.split("/")] for at in range(len(parts))
    }
    files = select(job_items.c.id, job_items.c.name, job_items.c.state, job_items.c.payload)
    for item_id, name, state, payload in connection.execute(files.where(*here, job_items.c.kind.in_(("file", "part")))):
        if state == "pending":  # not to be cancelled for another file of the same name
            same = payload is not None and posixpath.normpath(payload.get("path", "")) in wanted
        else:
            same = _UPWARDS.sub("", posixpath.normpath(name)) in ends
        if same:
            found.add(item_id)
    return sorted(found)


def drop_replies(connection: Connection, collection_id: int, keys: Sequence[str] | None) -> int:
    """Drop what a model replied about documents that were never learned; ``keys`` None means all."""
    if keys is not None:
        return drop_replies_about(connection, collection_id, keys)
    return connection.execute(delete(replies).where(replies.c.collection_id == collection_id)).rowcount


class _Any(Names):
    """Stands in every text."""

    def __init__(self) -> None:
        super().__init__(())

    def stand_in(self, text: str) -> bool:
        return True


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
