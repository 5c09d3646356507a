"""Asking a language model until a reply is valid, within a budget; what was replied and what it cost is written down.

A reply is written in the transaction that counts its tokens, as soon as it came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ingest.ledger import Ledger
from memory_graph.database import Database
from memory_graph.errors import GeneratorError, GeneratorOutputInvalid, GeneratorTimeout, GeneratorUnavailable
from memory_graph.store.replies import Reply, write_replies
from memory_graph.store.spending import tokens_left
from memory_graph.store.tokens import Tokens, note_tokens
from memory_graph.text import hash_text
from memory_graph.types import Usage
from retrieval.generator import Completion, Generator, Message, estimate_tokens

# A chat template's own tokens, a message.
TEMPLATE_TOKENS = 8


@dataclass(frozen=True, kw_only=True)
class AskParams:
    """How a language model is asked.

    ``concurrency`` calls are on their way together. A reply out of form is asked for ``retries`` times again, drawn at
    ``temperature`` so that it is another one; a server that does not answer, as often, after pauses that begin with
    ``pause_s`` and double. A run of a job may spend ``max_tokens``, where its job names no other number; 0 is without
    limit.
    """

    concurrency: int = 16
    retries: int = 2
    temperature: float = 0.4
    pause_s: float = 2.0
    max_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked about a passage; ``key`` is the hash of the model and of all that it is shown."""

    key: str
    text_hash: str
    document: str
    messages: Sequence[Message]
    schema: Mapping[str, Any]
    max_tokens: int

    @property
    def prompt_tokens(self) -> int:
        """What reading it takes, rather too many than too few."""
        return count_prompt(self.messages)


def count_prompt(messages: Sequence[Message]) -> int:
    """Estimate the tokens of a prompt, rather too many than too few."""
    return sum(estimate_tokens(message["content"]) + TEMPLATE_TOKENS for message in messages)


class Asker:
    """Asks for one run of a job, on one event loop; ``slots`` may be shared with other runs."""

    def __init__(
        self,
        database: Database,
        generator: Generator,
        slots: asyncio.Semaphore,
        ledger: Ledger,
        params: AskParams,
        *,
        job_id: str,
        collection_id: int,
    ) -> None:
        self._database = database
        self._generator = generator
        self._slots = slots
        self._ledger = ledger
        self._params = params
        self._job_id = job_id
        self._collection_id = collection_id
        self._asked: dict[str, asyncio.Task[str]] = {}
        self._answers = 0  # how many calls were answered, in form or not
        self._writing = asyncio.Lock()
        self._unwritten: list[tuple[Reply | None, Tokens]] = []

    async def ask(self, question: Question, read: Callable[[str], object]) -> str:
        """Return a reply that ``read`` can read; of an equal call that is on its way, if there is one.

        Errors: ``GeneratorOutputInvalid`` where there is none to be had; ``BudgetSpent``, ``GeneratorUnavailable`` and
        ``GeneratorTimeout`` where nothing more can be asked.
        """
        if question.key not in self._asked:
            task = asyncio.create_task(self._ask(question, read))
            task.add_done_callback(lambda _: self._asked.pop(question.key))
            self._asked[question.key] = task
        return await self._asked[question.key]

    async def note_reuse(self) -> None:
        """Count that an earlier reply saved a call."""
        await self._write(None, Tokens(reused=1))

    async def _ask(self, question: Question, read: Callable[[str], object]) -> str:
        await self._check_size(question)
        fault = ""
        for attempt in range(self._params.retries + 1):
            try:
                return await self._ask_patiently(question, read, attempt)
            except GeneratorOutputInvalid as error:
                fault = error.message
        raise GeneratorOutputInvalid(f"no valid reply in {self._params.retries + 1} attempts: {fault}")

    async def _ask_patiently(self, question: Question, read: Callable[[str], object], attempt: int) -> str:
        """Ask a server that may be away for a while.

        Where it answers others meanwhile, a passage that takes too long is at fault itself; else the run stops.
        """
        answers, pause = self._answers, self._params.pause_s
        for tried in range(self._params.retries + 1):
            try:
                return await self._call(question, read, attempt)
            except GeneratorOutputInvalid:
                raise
            except GeneratorError as error:
                if isinstance(error, GeneratorTimeout) and self._answers > answers:
                    raise GeneratorOutputInvalid(error.message) from None
                if tried == self._params.retries or self._ledger.stopped is not None:
                    await self._ledger.stop(error)
                    raise
            await asyncio.sleep(pause)
            pause *= 2
        raise AssertionError("the last try returns or raises")

    async def _call(self, question: Question, read: Callable[[str], object], attempt: int) -> str:
        """Make one call; write down its reply, if it is valid, and what it cost."""
        most = question.prompt_tokens + question.max_tokens
        async with self._slots:
            await self._ledger.set_aside(most)
            # What a call costs that breaks off is not told: all of it is counted, but nothing of one that is refused.
            usage = Usage(prompt_tokens=question.prompt_tokens, completion_tokens=question.max_tokens, calls=1)
            kept = None
            try:
                reply = await self._complete(question, attempt)
                usage = _usage_of(reply, question)
                self._answers += 1
                if reply.finish_reason != "stop":
                    raise GeneratorOutputInvalid(f"the reply ended with {reply.finish_reason!r}, not where it was done")
                read(reply.text)
                kept = _kept(question, reply.text)
            except GeneratorUnavailable:
                usage = Usage(calls=1)
                raise
            finally:
                await self._ledger.book(most, usage.prompt_tokens + usage.completion_tokens)
                await self._write(kept, Tokens.spent(usage))
        return reply.text

    async def _complete(self, question: Question, attempt: int) -> Completion:
        drawn: dict[str, Any] = {}
        if attempt:  # at temperature 0 the same reply would come again; another job draws others
            seed = int(hash_text(self._job_id, question.key, str(attempt))[:7], 16)
            drawn = {"temperature": self._params.temperature, "seed": seed}
        return await self._generator.complete(
            question.messages, schema=question.schema, max_tokens=question.max_tokens, **drawn
        )

    async def _check_size(self, question: Question) -> None:
        """Refuse what the model's context has no room for. Errors: ``GeneratorOutputInvalid``."""
        if question.prompt_tokens + question.max_tokens <= self._generator.context_tokens:
            return
        counts = await self._generator.count_tokens([message["content"] for message in question.messages])
        count = sum(counts) + TEMPLATE_TOKENS * len(counts)
        room = max(self._generator.context_tokens - question.max_tokens, 0)
        if count > room:
            raise GeneratorOutputInvalid(
                f"the passage is too long for the model: {count:,} tokens with what is asked, and {room:,} have room"
            )

    async def _write(self, reply: Reply | None, tokens: Tokens) -> None:
        """Write down a reply and a cost; what comes while others are written goes into one transaction after it."""
        self._unwritten.append((reply, tokens))
        async with self._writing:
            some, self._unwritten = self._unwritten, []
            try:
                left = await asyncio.to_thread(self._write_down, some)
            except BaseException:
                self._unwritten = some + self._unwritten
                raise
            if some and left is not None:  # others may have spent of it meanwhile
                self._ledger.left = left - sum(tokens.run for _, tokens in self._unwritten)

    def _write_down(self, some: Sequence[tuple[Reply | None, Tokens]]) -> int | None:
        """Write; return the tokens that the key which pays has left, None where nothing limits them."""
        if not some:
            return None
        replies = [reply for reply, _ in some if reply is not None]
        with self._database.write() as connection:
            note_tokens(connection, self._job_id, sum((tokens for _, tokens in some), Tokens()))
            write_replies(connection, self._collection_id, self._job_id, replies)
            return tokens_left(connection, self._job_id)


def _kept(question: Question, text: str) -> Reply:
    return Reply(prompt_hash=question.key, text_hash=question.text_hash, document=question.document, text=text)


def _usage_of(reply: Completion, question: Question) -> Usage:
    """Return what a reply cost, estimated where the server does not tell."""
    if reply.usage.prompt_tokens:
        return reply.usage
    return Usage(prompt_tokens=question.prompt_tokens, completion_tokens=estimate_tokens(reply.text), calls=1)
