"""Sessions of the dashboard: what a cookie is worth, and when it is worth nothing."""

from __future__ import annotations

import stat
import time
from pathlib import Path

from service.access import ANYONE, Caller
from service.dashboard.sessions import EndedSessions, Sessions, read_secret

ADMIN = Caller(id="k1", name="ops", scopes=frozenset({"admin"}))
READER = Caller(id="k2", name="app", scopes=frozenset({"read"}))


def make(*known: Caller, secret: str = "s" * 43, hours: float = 1) -> Sessions:
    by_id = {caller.id: caller for caller in known}
    return Sessions(secret, by_id.get, hours=hours)


def test_a_session_names_its_key_and_ends_with_it() -> None:
    token = make(ADMIN).begin(ADMIN).token
    assert make(ADMIN).read(token).caller == ADMIN  # type: ignore[union-attr]
    assert make().read(token) is None
    assert make(ADMIN, secret="t" * 43).read(token) is None


def test_a_session_ends_with_its_hours() -> None:
    token = make(ADMIN).begin(ADMIN).token
    assert make(ADMIN, hours=-1).read(token) is None


def test_a_key_that_lost_the_scope_admin_has_no_session() -> None:
    reduced = Caller(id="k1", name="ops", scopes=frozenset({"read"}))
    assert make(reduced).read(make(ADMIN).begin(ADMIN).token) is None


def test_what_was_changed_or_made_up_is_no_session() -> None:
    token = make(ADMIN).begin(ADMIN).token
    for other in ("", "x", token[:-2] + "xx", token + "x", "." + token):
        assert make(ADMIN, ANYONE).read(other) is None


def test_the_secret_is_made_once_and_nobody_else_reads_it(tmp_path: Path) -> None:
    secret = read_secret(tmp_path)
    assert len(secret) >= 40
    assert read_secret(tmp_path) == secret
    assert stat.S_IMODE((tmp_path / "dashboard.secret").stat().st_mode) == 0o600


def test_signing_out_ends_one_session_wherever_its_cookie_is(tmp_path: Path) -> None:
    path = tmp_path / "ended"
    sessions = Sessions("s" * 43, {"k1": ADMIN}.get, ended=EndedSessions(path))
    one, other = sessions.begin(ADMIN).token, sessions.begin(ADMIN).token
    assert one != other
    sessions.end(one)
    sessions.end("x")
    sessions.end("")
    assert sessions.read(one) is None
    assert sessions.read(other) is not None
    assert one not in path.read_text()
    again = Sessions("s" * 43, {"k1": ADMIN}.get, ended=EndedSessions(path))  # after a restart
    assert again.read(one) is None
    assert again.read(other) is not None


def test_what_was_signed_out_of_is_remembered_as_long_as_its_hours(tmp_path: Path) -> None:
    path = tmp_path / "ended"
    ended = EndedSessions(path)
    ended.add("old", time.time() - 1)
    ended.add("new", time.time() + 100)
    with path.open("a") as file:
        file.write("cut-sh")
    again = EndedSessions(path)
    assert ("old" in again, "new" in again) == (False, True)
    assert len(path.read_text().splitlines()) == 1
