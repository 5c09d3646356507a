"""Who holds the key that a request sends, and what they have used of it.

The row is read with every request: what another process changed holds at once, and a name always means the collection
that has it now. Uses and spending are written in batches, off the request's path.
"""

from __future__ import annotations

import hmac
import logging
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from time import monotonic

from memory_graph.database import Database
from memory_graph.errors import StoreError
from memory_graph.store.keys import Key, find_key, has_keys, note_uses
from memory_graph.store.rows import now
from memory_graph.store.spending import Spent, add_spending, spent_by
from memory_graph.types import Usage
from service.access import FIRST, SCOPES, Caller
from service.keys import hash_secret, split_key

log = logging.getLogger(__name__)

FLUSH_S = 1.0
USES_S = 30.0
# What an answer counts for whose client left before its usage was known: about a question over five passages.
ABANDONED_TOKENS = 2_000
_NO_HASH = "0" * 64  # of no secret that anybody knows


@dataclass(kw_only=True)
class Bill:
    """What an answer is to be charged with; None until it is known."""

    usage: Usage | None = None


class KeyRing:
    """The keys of one database, as requests use them."""

    def __init__(self, database: Database, first_key: str) -> None:
        self._database = database
        self._first_key = first_key.encode()
        self._closed = bool(first_key)
        self._lock = threading.Lock()
        self._uses: dict[str, datetime] = {}
        self._spent: dict[tuple[str, date], int] = {}
        self._noted_at = monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="key-ring", daemon=True)

    @property
    def known_closed(self) -> bool:
        """Whether a key was ever seen; without a look at the database."""
        return self._closed

    def is_closed(self) -> bool:
        """Say whether a key is needed: one was ever made, or is set. Keys stay as rows, so this never turns back."""
        if not self._closed:
            with self._database.read() as connection:
                self._closed = has_keys(connection)
        return self._closed

    def find(self, given: str) -> Caller | None:
        """Return who holds a key, or None; ``given`` is as a header has it, in Latin-1."""
        return self.find_all((given,))[given]

    def find_all(self, given: Collection[str]) -> dict[str, Caller | None]:
        """Return who holds each of some keys, or None; in one read of the database.

        An unknown id takes the same statements and comparisons as a wrong secret.
        """
        # Back in bytes, a key of any characters is the UTF-8 that was sent.
        first = {
            key for key in given if self._first_key and hmac.compare_digest(key.encode("latin-1"), self._first_key)
        }
        found: dict[str, Caller | None] = dict.fromkeys(first, FIRST)
        others = [key for key in given if key not in first]
        if not others:
            return found
        moment = now()
        # What waits is read first: written meanwhile it counts twice for a moment, and not at all the other way round.
        with self._lock:
            waiting = dict(self._spent)
        with self._database.read() as connection:
            for one in others:
                key_id, secret = split_key(one)
                key = find_key(connection, key_id)
                spent = spent_by(connection, key_id, moment.date())
                spent = replace(spent, tokens=spent.tokens + waiting.get((key_id, moment.date()), 0))
                found[one] = self._admit(key, key_id, secret, spent, moment)
        return found

    def find_by_id(self, key_id: str) -> Caller | None:
        """Return who holds the key of an id, None where it holds no more; for sessions, which were begun with it."""
        if key_id == FIRST.id:
            return FIRST if self._first_key else None
        moment = now()
        with self._database.read() as connection:
            key = find_key(connection, key_id)
            spent = spent_by(connection, key_id, moment.date())
        return _caller(key, spent) if key is not None and key.holds(moment) else None

    @contextmanager
    def bill(self, caller: Caller) -> Iterator[Bill]:
        """Charge a key with an answer, by the usage that the block notes; one whose client left has a fixed price."""
        bill = Bill()
        try:
            yield bill
        except Exception:
            bill.usage = bill.usage or Usage()  # it failed, which is no fault of the client
            raise
        finally:
            tokens = ABANDONED_TOKENS
            if bill.usage is not None:
                tokens = bill.usage.prompt_tokens + bill.usage.completion_tokens
            if tokens and caller.is_key:
                with self._lock:
                    entry = caller.id, now().date()
                    self._spent[entry] = self._spent.get(entry, 0) + tokens

    def start(self) -> None:
        """Begin to write in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Write what waits and stop."""
        self._stopped.set()
        self._thread.join()
        self.flush()

    def flush(self) -> None:
        """Write down what was spent, and when keys were used; what cannot be written waits for the next time."""
        with self._lock:
            spent, uses = dict(self._spent), dict(self._uses)
        if not spent and not uses:
            return
        try:
            with self._database.write() as connection:
                add_spending(connection, spent)
                note_uses(connection, uses)
        except StoreError as error:
            log.warning("the use of %d keys could not be written down: %s", len(uses), error.message)
            return
        with self._lock:
            for entry, tokens in spent.items():
                self._spent[entry] -= tokens
            self._spent = {entry: tokens for entry, tokens in self._spent.items() if tokens}
            self._uses = {key_id: at for key_id, at in self._uses.items() if uses.get(key_id) != at}
        self._noted_at = monotonic()

    def _admit(self, key: Key | None, key_id: str, secret: str, spent: Spent, moment: datetime) -> Caller | None:
        hashed = hash_secret(secret)
        current = hmac.compare_digest(hashed, key.hash if key else _NO_HASH)
        old = hmac.compare_digest(hashed, (key.old_hash if key else None) or _NO_HASH)
        if key is None or not key.holds(moment):
            return None
        if not current and not (old and key.old_until is not None and moment < key.old_until):
            return None
        with self._lock:
            self._uses[key_id] = moment
        return _caller(key, spent)

    def _run(self) -> None:
        while not self._stopped.wait(FLUSH_S):
            if self._spent or monotonic() - self._noted_at >= USES_S:
                self.flush()


def _caller(key: Key, spent: Spent) -> Caller:
    return Caller(
        id=key.id,
        name=key.name,
        scopes=frozenset(scope for scope in SCOPES if scope in key.scopes),
        collections=None if key.collections is None else frozenset(key.collections),
        is_key=True,
        expires_at=key.expires_at and key.expires_at.astimezone(UTC),
        requests_per_minute=key.requests_per_minute,
        tokens_per_day=key.tokens_per_day,
        tokens_left=None if key.tokens_per_day is None else key.tokens_per_day - spent.tokens,
        bytes_per_day=key.bytes_per_day,
        bytes_left=None if key.bytes_per_day is None else key.bytes_per_day - spent.bytes,
    )
