"""Who is signed in to the dashboard: a signed cookie that names a key, and says nothing without it.

The cookie holds no secret of the key. It ends with its hours, with the key, with the secret in the data folder that it
is signed with, and when somebody signs out with it: such cookies are remembered, by hash, until their hours are over.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from itsdangerous import BadSignature, URLSafeTimedSerializer

from memory_graph.text import hash_text
from service.access import Caller

COOKIE = "sharpwave_session"
HOURS = 12
SECRET_FILE = "dashboard.secret"
ENDED_FILE = "dashboard.ended"
_SECRET_BYTES = 32
_NONCE_BYTES = 9


@dataclass(frozen=True, kw_only=True)
class Session:
    """Someone who signed in; ``token`` is the cookie."""

    token: str
    caller: Caller


class Sessions:
    """Gives out sessions and reads them again.

    ``find_caller`` returns who holds the key of an id; None once it was revoked or has expired. ``ended`` remembers
    those that somebody signed out of.
    """

    def __init__(
        self,
        secret: str,
        find_caller: Callable[[str], Caller | None],
        *,
        hours: float = HOURS,
        ended: EndedSessions | None = None,
    ) -> None:
        self._signer = URLSafeTimedSerializer(secret, salt="session")
        self._find_caller = find_caller
        self._ended = ended
        self.max_age_s = int(hours * 3600)

    def begin(self, caller: Caller) -> Session:
        """Return a new session of a caller, unlike any other."""
        said = {"key": caller.id, "nonce": secrets.token_urlsafe(_NONCE_BYTES)}
        return Session(token=self._signer.dumps(said), caller=caller)

    def end(self, token: str) -> None:
        """End a session, wherever its cookie is kept; what is no session is left alone."""
        if self._ended is not None and self.read(token) is not None:
            self._ended.add(token, time.time() + self.max_age_s)

    def read(self, token: str) -> Session | None:
        """Return the session of a cookie; None where it is none of ours, has ended, or its key has."""
        try:
            said = self._signer.loads(token, max_age=self.max_age_s)
        except BadSignature:
            return None
        if self._ended is not None and token in self._ended:
            return None
        caller = self._find_caller(said["key"])
        return None if caller is None or not caller.has("admin") else Session(token=token, caller=caller)


class EndedSessions:
    """Hashes of cookies that were signed out of, in a file with the second until which each must be remembered."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
        # A line that was cut short by a crash is of a sign-out that was never answered.
        pairs = [line.split() for line in lines if len(line.split()) == 2]
        self._until = {digest: float(until) for digest, until in pairs if float(until) > time.time()}
        if lines:
            rewritten = path.with_suffix(".new")
            rewritten.write_text("".join(f"{one} {until}\n" for one, until in self._until.items()), encoding="ascii")
            rewritten.replace(path)

    def __contains__(self, token: str) -> bool:
        return hash_text(token) in self._until

    def add(self, token: str, until_s: float) -> None:
        """Remember a cookie until a second of the clock."""
        with self._lock, self._path.open("a", encoding="ascii") as file:
            self._until[hash_text(token)] = until_s
            file.write(f"{hash_text(token)} {until_s:.0f}\n")
            file.flush()
            os.fsync(file.fileno())


def read_secret(data_dir: Path) -> str:
    """Return the secret that sessions are signed with, made at the first call; nobody else may read its file."""
    path = data_dir.expanduser() / SECRET_FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii")
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret)
    return secret
