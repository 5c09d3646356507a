"""The door of the dashboard: who is not signed in is led to the form, and a socket without a session is not opened."""

from __future__ import annotations

from asyncio import to_thread
from urllib.parse import quote

from fastapi.responses import RedirectResponse, Response
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from service.access import ANYONE
from service.dashboard.markup import ROOT
from service.dashboard.sessions import COOKIE, Sessions
from service.errors import problem

SIGN_IN, SIGN_OUT = f"{ROOT}/sign-in", f"{ROOT}/sign-out"
# Scripts and styles of the dashboard: they are the same for everybody, and hold nothing.
ASSETS = (f"{ROOT}/_nicegui/",)


class Door:
    """Lets requests and sockets of the dashboard through that have a session, and the form that begins one.

    Where the service is open there are no sessions: it stands within the gate, which let this machine alone through.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or not is_inside(scope["path"]):
            await self._app(scope, receive, send)
            return
        sessions: Sessions | None = getattr(scope["app"].state, "sessions", None)
        if sessions is None or scope["state"]["caller"] is ANYONE or scope["path"].startswith(ASSETS):
            await self._app(scope, receive, send)
            return
        session = await to_thread(sessions.read, HTTPConnection(scope).cookies.get(COOKIE, ""))
        if session is not None:
            scope["state"] |= {"caller": session.caller, "session": session.token}
        elif scope["path"] != SIGN_IN:
            await self._refuse(scope)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    @staticmethod
    def _refuse(scope: Scope) -> ASGIApp:
        if scope["type"] == "websocket":
            return Response(status_code=403)
        if scope["method"] == "GET" and "/_nicegui" not in scope["path"]:
            asked = scope["path"] + ("?" + scope["query_string"].decode("latin-1") if scope["query_string"] else "")
            return RedirectResponse(f"{SIGN_IN}?next={quote(asked, safe='')}", status_code=303)
        return problem(401, "unauthorized", "the session has ended: sign in again")


def is_inside(path: str) -> bool:
    """Whether a path is one of the dashboard's."""
    return path == ROOT or path.startswith(f"{ROOT}/")
