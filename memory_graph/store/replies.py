"""What a language model replied about the text of a passage: paid for once, gone with the text.

A reply goes with the last passage that holds its text. One whose passage was never learned, because its document
failed, goes when that document is forgotten or its job is cancelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, exists, select

from memory_graph.store.rows import chunks, insert_new
from memory_graph.tables import jobs, passages, replies


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One valid reply: ``prompt_hash`` is that of the model and of all it was shown, ``text`` the reply, which is JSON.

    ``text_hash`` is the passage's, ``document`` the id of the document it was read in.
    """

    prompt_hash: str
    text_hash: str
    document: str
    text: str


def known_replies(connection: Connection, collection_id: int, text_hashes: Sequence[str]) -> dict[str, str]:
    """Return what was replied about these texts before, by prompt hash."""
    found: dict[str, str] = {}
    for some in chunks(text_hashes):
        rows = connection.execute(
            select(replies.c.prompt_hash, replies.c.reply).where(
                replies.c.collection_id == collection_id, replies.c.text_hash.in_(some)
            )
        )
        found.update({prompt_hash: reply for prompt_hash, reply in rows})
    return found


def write_replies(connection: Connection, collection_id: int, job_id: str, new: Iterable[Reply]) -> None:
    """Keep replies; those that come in after their job was cancelled are dropped."""
    if connection.scalar(select(jobs.c.state).where(jobs.c.id == job_id)) in (None, "cancelled"):
        return
    rows = [
        {
            "collection_id": collection_id,
            "prompt_hash": one.prompt_hash,
            "text_hash": one.text_hash,
            "document": one.document,
            "job_id": job_id,
            "reply": one.text,
        }
        for one in new
    ]
    insert_new(connection, replies, rows)


def drop_replies_to(connection: Connection, collection_id: int, text_hashes: Sequence[str]) -> int:
    """Drop what was replied about those of these texts that no passage holds any more; return how many replies."""
    return sum(_drop(connection, collection_id, replies.c.text_hash.in_(some)) for some in chunks(text_hashes))


def drop_replies_about(connection: Connection, collection_id: int, keys: Sequence[str]) -> int:
    """Drop what was replied about texts of documents that no passage holds; return how many replies."""
    return sum(_drop(connection, collection_id, replies.c.document.in_(some)) for some in chunks(keys))


def drop_replies_of(connection: Connection, collection_id: int, job_id: str) -> None:
    """Drop what a job paid for and did not learn."""
    _drop(connection, collection_id, replies.c.job_id == job_id)


def _drop(connection: Connection, collection_id: int, condition: ColumnElement[bool]) -> int:
    held = exists().where(passages.c.collection_id == collection_id, passages.c.text_hash == replies.c.text_hash)
    return connection.execute(
        delete(replies).where(replies.c.collection_id == collection_id, condition, ~held)
    ).rowcount
