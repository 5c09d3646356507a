"""How pages reach the memory: through the API's own routes, with the same checks, in the name of who is signed in."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from memory_graph.database import Database
from memory_graph.store.collections import list_collections
from service.access import Caller, Needs, get_caller
from service.admission import Lines
from service.api import collections
from service.dashboard.sessions import Sessions
from service.rates import Rates
from service.services import Services, get_services

LISTED = 1_000  # collections


class SessionOver(Exception):
    """The session has ended: its hours are over, or its key is no more."""


class Desk:
    """Calls the API for one open page, as long as its session lasts.

    ``token`` is the session's cookie, empty where the service is open and asks nobody who they are.
    """

    def __init__(self, host: FastAPI, sessions: Sessions, token: str, caller: Caller) -> None:
        self._host = host
        self._sessions = sessions
        self._token = token
        self._caller = caller

    @property
    def parts(self) -> Services:
        """The parts behind the routes."""
        services: Services = self._host.state.services
        return services

    @property
    def signed_in(self) -> bool:
        """Whether somebody signed in; nobody does where the service is open."""
        return bool(self._token)

    def caller(self) -> Caller:
        """Return who asks, as their key stands now. Errors: ``SessionOver``."""
        if not self._token:
            return self._caller
        session = self._sessions.read(self._token)
        if session is None:
            raise SessionOver
        return session.caller

    @property
    def lines(self) -> Lines:
        """The lines before the API."""
        lines: Lines = self._host.state.lines
        return lines

    @property
    def rates(self) -> Rates:
        """How often keys may ask."""
        rates: Rates = self._host.state.rates
        return rates

    async def check(self, endpoint: Callable[..., Any], **named: Any) -> Caller:
        """Return who asks, after the checks of a route whose path names this. Errors: those of ``call``."""
        caller = self.caller()
        for dependant in find_route(endpoint).dependant.dependencies:
            if isinstance(dependant.call, Needs):
                await asyncio.to_thread(dependant.call.check, self.parts, caller, named)
        return caller

    async def list_names(self) -> list[str]:
        """Return the names of the collections within reach, without counting what they hold. Errors: those of ``call``.

        Every page asks for them; counting all rows of a large memory takes longer than the rest of a page.
        """
        caller = await self.check(collections.list_all)
        return await asyncio.to_thread(_read_names, self.parts.database, caller)

    async def call(self, endpoint: Callable[..., Any], **given: Any) -> Any:
        """Return what a route answers, as an object of its schema; what is not given has the route's default.

        Errors: those of the route, ``Forbidden`` and ``NotFound`` for what the key may not do, ``SessionOver``.
        """
        caller = self.caller()
        known: dict[Any, Any] = {get_services: self.parts, get_caller: caller}
        route = find_route(endpoint)
        if route.dependant.response_param_name:
            given.setdefault(route.dependant.response_param_name, Response())  # for headers, which few pages read
        for dependant in route.dependant.dependencies:
            if isinstance(dependant.call, Needs):
                await asyncio.to_thread(dependant.call.check, self.parts, caller, given)
            elif dependant.name:
                given[dependant.name] = _resolve(dependant, known)
        if inspect.iscoroutinefunction(endpoint):
            return await endpoint(**given)
        return await asyncio.to_thread(endpoint, **given)


def find_route(endpoint: Callable[..., Any]) -> APIRoute:
    """Return the route of an endpoint, of its module's router. Errors: ``LookupError`` where it has none."""
    router = getattr(sys.modules[endpoint.__module__], "router", None)
    for route in router.routes if router is not None else ():
        if isinstance(route, APIRoute) and route.endpoint is endpoint:
            return route
    raise LookupError(f"{endpoint!r} is no route of the API")


def _read_names(database: Database, caller: Caller) -> list[str]:
    with database.read() as connection:
        return [one.name for one in list_collections(connection, among=caller.collections, limit=LISTED)]


def _resolve(dependant: Dependant, known: Mapping[Any, Any]) -> Any:
    """Return what a dependency gives; it rests on those that are ``known``, not on the request. Errors: its own."""
    if dependant.call in known:
        return known[dependant.call]
    assert dependant.call is not None
    return dependant.call(**{one.name: _resolve(one, known) for one in dependant.dependencies if one.name})
