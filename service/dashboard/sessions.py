"""Who is signed in to the dashboard: a signed cookie that names a key, and says nothing without it.

The cookie holds no secret of the key. It ends with its hours, with the key, and with the secret in the data folder that
it is signed with.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from itsdangerous import BadSignature, URLSafeTimedSerializer

from service.access import Caller

COOKIE = "sharpwave_session"
HOURS = 12
SECRET_FILE = "dashboard.secret"
_SECRET_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class Session:
    """Someone who signed in; ``token`` is the cookie."""

    token: str
    caller: Caller


class Sessions:
    """Gives out sessions and reads them again.

    ``find_caller`` returns who holds the key of an id; None once it was revoked or has expired.
    """

    def __init__(self, secret: str, find_caller: Callable[[str], Caller | None], *, hours: float = HOURS) -> None:
        self._signer = URLSafeTimedSerializer(secret, salt="session")
        self._find_caller = find_caller
        self.max_age_s = int(hours * 3600)

    def begin(self, caller: Caller) -> Session:
        """Return a new session of a caller."""
        return Session(token=self._signer.dumps({"key": caller.id}), caller=caller)

    def read(self, token: str) -> Session | None:
        """Return the session of a cookie; None where it is none of ours, has ended, or its key has."""
        try:
            said = self._signer.loads(token, max_age=self.max_age_s)
        except BadSignature:
            return None
        caller = self._find_caller(said["key"])
        return None if caller is None or not caller.has("admin") else Session(token=token, caller=caller)


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
