"""Signing in with an admin key and out again: plain forms, which need no script.

A page of another site can do neither: the cookie is not sent along with its requests, and the gate refuses its origin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup

from service.access import Caller
from service.dashboard.door import SIGN_IN, SIGN_OUT, is_inside
from service.dashboard.frame import STYLE
from service.dashboard.markup import ROOT
from service.dashboard.sessions import COOKIE, Sessions

_PAGE = Markup("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in · Sharpwave</title><style>{style}</style></head>
<body class="door"><main><h1>Sharpwave</h1><p>Long-term memory for a language model: the dashboard.</p>{wrong}
<form method="post" action="{action}"><input type="hidden" name="next" value="{next}">
<label for="key">Admin key</label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus{invalid}>
<button>Sign in</button></form>
<p class="faint">Keys are made with <code>sharpwave keys create --scope admin</code>.</p></main></body></html>""")


def make_router(sessions: Sessions, find_caller: Callable[[str], Caller | None]) -> APIRouter:
    """Return the forms; ``find_caller`` returns the caller whose key a text is, None for no key."""
    router = APIRouter(include_in_schema=False)

    @router.get(SIGN_IN)
    def ask(next: str = "") -> HTMLResponse:
        return HTMLResponse(_fill(next))

    @router.post(SIGN_IN)
    def sign_in(request: Request, key: Annotated[str, Form()] = "", next: Annotated[str, Form()] = "") -> Response:
        caller = find_caller(key.strip())
        if caller is None or not caller.has("admin"):
            wrong = "is no key of this installation" if caller is None else "does not carry the scope admin"
            return HTMLResponse(_fill(next, f"This {wrong}."), status_code=401 if caller is None else 403)
        response = RedirectResponse(_inside(next), status_code=303)
        response.set_cookie(
            COOKIE,
            sessions.begin(caller).token,
            max_age=sessions.max_age_s,
            path=ROOT,
            httponly=True,
            samesite="lax",
            secure="https" in (request.url.scheme, request.headers.get("x-forwarded-proto")),
        )
        return response

    @router.post(SIGN_OUT)
    def sign_out(request: Request) -> RedirectResponse:
        sessions.end(request.scope["state"].get("session", ""))
        response = RedirectResponse(SIGN_IN, status_code=303)
        response.delete_cookie(COOKIE, path=ROOT)
        return response

    return router


def _inside(address: str) -> str:
    """Return an address of the dashboard; anything else, which may lead away, becomes its first page."""
    return address if is_inside(address.split("?", 1)[0]) and "\\" not in address else f"{ROOT}/"


def _fill(address: str, wrong: str = "") -> str:
    return _PAGE.format(
        style=Markup(STYLE),
        action=SIGN_IN,
        next=address,
        wrong=Markup('<p class="wrong" id="wrong" role="alert">{}</p>').format(wrong) if wrong else "",
        invalid=Markup(' aria-invalid="true" aria-describedby="wrong"') if wrong else "",
    )
