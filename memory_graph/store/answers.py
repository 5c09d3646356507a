"""Answers to requests that bring a key of their own, kept for a day: a repeated request is not carried out twice.

A row is claimed before the request is carried out, and renewed while it is. The answer is sealed by who writes it: no
row holds a text that could be read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, delete, or_, select, update

from memory_graph.store.rows import database_now, insert_new
from memory_graph.tables import kept_answers

KEPT_FOR = timedelta(hours=24)
# A request whose process died is not renewed, and may be carried out by the next who asks.
CLAIM_FOR = timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Whose request it is, by which key; ``token`` tells one attempt from another."""

    caller: str
    key_hash: str
    token: str


@dataclass(frozen=True, kw_only=True)
class KeptAnswer:
    """What was answered: the hash of the request, the status, and the sealed body."""

    request_hash: str
    status: int
    media_type: str
    body: bytes


def claim_answer(connection: Connection, claim: Claim) -> KeptAnswer | bool:
    """Claim a request: True if it is now to be carried out, False while another attempt is at it, else its answer."""
    moment = database_now(connection)
    here = kept_answers.c.caller == claim.caller, kept_answers.c.key_hash == claim.key_hash
    done = kept_answers.c.status.is_not(None)
    old = or_(
        and_(done, kept_answers.c.created_at < moment - KEPT_FOR),
        and_(~done, kept_answers.c.renewed_at < moment - CLAIM_FOR),
    )
    connection.execute(delete(kept_answers).where(*here, old))
    row = vars(claim) | {"created_at": moment, "renewed_at": moment}
    insert_new(connection, kept_answers, [row])
    found = connection.execute(select(kept_answers).where(*here)).one()
    if found.token == claim.token:
        return True
    if found.status is None:
        return False
    return KeptAnswer(
        request_hash=found.request_hash, status=found.status, media_type=found.media_type, body=found.body
    )


def renew_claim(connection: Connection, claim: Claim) -> None:
    """Say that a claimed request is still being carried out."""
    connection.execute(update(kept_answers).where(*_own(claim)).values(renewed_at=database_now(connection)))


def keep_answer(connection: Connection, claim: Claim, answer: KeptAnswer) -> None:
    """Keep the answer of a claimed request."""
    connection.execute(update(kept_answers).where(*_own(claim)).values(vars(answer)))


def release_claim(connection: Connection, claim: Claim) -> None:
    """Give a claim up: the request changed nothing, and may be tried again."""
    connection.execute(delete(kept_answers).where(*_own(claim), kept_answers.c.status.is_(None)))


def drop_answers(connection: Connection, moment: datetime) -> int:
    """Drop the answers that are a day old at ``moment``; return how many."""
    return connection.execute(delete(kept_answers).where(kept_answers.c.created_at < moment - KEPT_FOR)).rowcount


def _own(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    return tuple(kept_answers.c[name] == value for name, value in vars(claim).items())
