"""The door of the dashboard: who is not signed in is led to the form, and a socket without a session is not opened."""

from __future__ import annotations

from urllib.parse import quote

from fastapi.responses import RedirectResponse, Response
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from service.dashboard.markup import ROOT
from service.dashboard.sessions import COOKIE, Sessions
from service.errors import problem
from service.settings import Settings

SIGN_IN, SIGN_OUT = f"{ROOT}/sign-in", f"{ROOT}/sign-out"
# Scripts and styles of the dashboard: they are the same for everybody, and hold nothing.
ASSETS = (f"{ROOT}/_nicegui/",)


class Door:
    """Lets requests and sockets of the dashboard through that have a session, and the form that begins one."""

    def __init__(self, app: ASGIApp, settings: Settings, sessions: Sessions) -> None:
        self._app = app
        self._settings = settings
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or not is_inside(scope["path"]) or self._settings.is_open:
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        session = self._sessions.read(connection.cookies.get(COOKIE, ""))
        if session is not None:
            state = scope.setdefault("state", {})
            state["caller"], state["session"] = session.caller, session.token
        elif scope["path"] != SIGN_IN and not scope["path"].startswith(ASSETS):
            await self._refuse(scope)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refuse(self, scope: Scope) -> ASGIApp:
        if scope["type"] == "websocket":
            return Response(status_code=403)
        if scope["method"] == "GET" and "/_nicegui" not in scope["path"]:
            asked = scope["path"] + ("?" + scope["query_string"].decode("latin-1") if scope["query_string"] else "")
            return RedirectResponse(f"{SIGN_IN}?next={quote(asked, safe='')}", status_code=303)
        return problem(401, "unauthorized", "the session has ended: sign in again")


def is_inside(path: str) -> bool:
    """Whether a path is one of the dashboard's."""
    return path == ROOT or path.startswith(f"{ROOT}/")
