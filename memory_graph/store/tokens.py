"""What a job spends on a language model, and how much it may spend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection, select, update

from memory_graph.store.rows import now
from memory_graph.store.spending import add_spending
from memory_graph.tables import jobs
from memory_graph.types import Usage


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """What a job spent on a language model: tokens of prompts and of replies, in so many ``calls``.

    ``reused`` counts the calls that earlier replies saved, ``run`` the tokens of the present run alone.
    """

    prompt: int = 0
    completion: int = 0
    calls: int = 0
    reused: int = 0
    run: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(**{name: getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__})

    @staticmethod
    def of(row: Mapping[str, int] | None) -> Tokens:
        """Return what a job's row holds."""
        return Tokens(**(row or {}))

    @staticmethod
    def spent(usage: Usage) -> Tokens:
        """Return what calls cost as tokens of the present run."""
        total = usage.prompt_tokens + usage.completion_tokens
        return Tokens(prompt=usage.prompt_tokens, completion=usage.completion_tokens, calls=usage.calls, run=total)


def read_tokens(connection: Connection, job_id: str) -> tuple[Tokens, int | None]:
    """Return what a job has spent, and how much each of its runs may spend."""
    row = connection.execute(select(jobs.c.tokens, jobs.c.max_tokens).where(jobs.c.id == job_id)).one_or_none()
    return (Tokens(), None) if row is None else (Tokens.of(row.tokens), row.max_tokens)


def note_tokens(connection: Connection, job_id: str, spent: Tokens) -> None:
    """Add what a job spent, to what the key that submitted it has spent today (UTC) too."""
    _write(connection, job_id, read_tokens(connection, job_id)[0] + spent)
    key_id = connection.scalar(select(jobs.c.key_id).where(jobs.c.id == job_id))
    if key_id is not None and spent.run:
        add_spending(connection, {(key_id, now().date()): spent.run})


def begin_tokens(connection: Connection, job_id: str) -> None:
    """Count what a run spends from 0, because a new one begins."""
    _write(connection, job_id, replace(read_tokens(connection, job_id)[0], run=0))


def limit_tokens(connection: Connection, job_id: str, max_tokens: int) -> None:
    """Say how many tokens a run of a job may spend."""
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(max_tokens=max_tokens))


def _write(connection: Connection, job_id: str, tokens: Tokens) -> None:
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(tokens=asdict(tokens)))
