"""The desk: a page may do what its caller may do over HTTP, and no more."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import event

from memory_graph.database import Database
from memory_graph.errors import Forbidden, NotFound
from service.access import NOBODY, Caller
from service.api import collections, documents, jobs
from service.dashboard.desk import Desk, SessionOver, find_route
from service.dashboard.sessions import Sessions
from tests.unit.factories import new_collection

READER = Caller(id="r", name="r", scopes=frozenset({"read"}), collections=frozenset({"mine"}))
ADMIN = Caller(id="a", name="a", scopes=frozenset({"admin"}))


def make_desk(
    caller: Caller, sessions: Sessions | None = None, token: str = "", database: Database | None = None
) -> Desk:
    host = FastAPI()
    host.state.services = SimpleNamespace(database=database)  # nothing is reached before the checks are passed
    return Desk(host, sessions or Sessions("s", lambda _id: None), token, caller)


def call(desk: Desk, endpoint: Any, **given: Any) -> Any:
    return asyncio.run(desk.call(endpoint, **given))


def test_a_scope_that_the_key_lacks_is_refused() -> None:
    with pytest.raises(Forbidden, match="scope admin"):
        call(make_desk(READER), collections.delete, collection="mine")


def test_a_collection_out_of_reach_does_not_exist() -> None:
    with pytest.raises(NotFound) as theirs:
        call(make_desk(READER), documents.show, collection="theirs", document_id="x")
    assert theirs.value.message == "collection 'theirs' does not exist"


def test_the_names_within_reach_are_listed_and_nothing_is_counted(database: Database) -> None:
    for name in ("theirs", "mine"):
        new_collection(database, name)
    asked: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
    reader, admin = make_desk(READER, database=database), make_desk(ADMIN, database=database)
    assert asyncio.run(reader.list_names()) == ["mine"]
    assert asyncio.run(admin.list_names()) == ["mine", "theirs"]
    assert not [one for one in asked if "count(" in one]
    with pytest.raises(Forbidden):
        asyncio.run(make_desk(NOBODY).list_names())


def test_a_session_that_ended_ends_every_action() -> None:
    by_id = {"a": ADMIN}
    sessions = Sessions("s", by_id.get)
    desk = make_desk(ADMIN, sessions, sessions.begin(ADMIN).token)
    assert desk.caller() == ADMIN
    by_id.clear()  # the key was revoked
    with pytest.raises(SessionOver):
        call(desk, jobs.cancel, job_id="x")


def test_what_is_no_route_cannot_be_called() -> None:
    with pytest.raises(LookupError, match="is no route"):
        find_route(len)
