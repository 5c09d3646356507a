"""What every page has: its address, its title, the way to the others, and what it says when something goes wrong."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias
from weakref import WeakSet

from fastapi import Request
from markupsafe import Markup
from nicegui import Client, app, ui
from pydantic import ValidationError

from memory_graph.errors import NotFound, SharpwaveError
from service.dashboard.desk import Desk, SessionOver
from service.dashboard.kept_html import KeptHtml
from service.dashboard.markup import ROOT, link, url
from service.errors import problem_of_fault

STYLE = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
COLLECTION = "/c/{collection}/"
Builder: TypeAlias = Callable[..., Awaitable[None]]

_SIGN_IN = (
    "() => { location.href = '"
    + url("sign-in")
    + "?next=' + encodeURIComponent(location.pathname + location.search + location.hash); }"
)
_asked: WeakSet[Client] = WeakSet()

# (name, icon, address, whether it is one of a collection)
_PLACES = (
    ("Overview", "insights", "", False),
    ("Documents", "description", "documents", True),
    ("Memory graph", "hub", "graph", True),
    ("Ask", "forum", "ask", True),
    ("Notes", "sticky_note_2", "notes", True),
    ("Questions", "history", "questions", False),
    ("Jobs", "work_history", "jobs", False),
    ("Keys", "key", "keys", False),
    ("Settings", "settings", "settings", False),
)


def page(path: str, title: str) -> Callable[[Builder], Builder]:
    """Register a page: the function is given a ``Desk`` and what stands in the address.

    What the address names and is not there, or not for this key, is said on the page.
    """
    is_inside = path.startswith(COLLECTION)
    place = path.removeprefix(COLLECTION).split("/")[0] if is_inside else ""

    def register(build: Builder) -> Builder:
        @functools.wraps(build)
        async def shown(request: Request, **given: Any) -> None:
            token = request.scope["state"].get("session", "")
            desk = Desk(app.state.host, app.state.sessions, token, request.state.caller)
            ui.add_css(STYLE)
            ui.colors(primary="#0b6e69", negative="#b3261e", positive="#1b6e3c", warning="#8a5a00")
            try:
                await _lay_out(desk, title, place, given.get("collection") if is_inside else None)
                with ui.column().classes("content") as content:
                    ui.skip_link("Skip to the content", target=content)
                    await build(desk, **given)
            except SharpwaveError as error:
                _say(error)
            except Exception as error:  # noqa: BLE001 - a page has no other place to say it
                fault = problem_of_fault(error, f"the page {request.url.path}")
                _say(SharpwaveError(fault["detail"]))

        own = inspect.signature(build, eval_str=True).parameters
        asked = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Request)
        rest = [parameter for name, parameter in own.items() if name != "desk"]
        shown.__signature__ = inspect.Signature([asked, *rest])  # type: ignore[attr-defined]
        ui.page(path, title=f"{title} · Sharpwave")(shown)
        return build

    return register


@asynccontextmanager
async def told(doing: str) -> AsyncIterator[None]:
    """Say what goes wrong in an action: its message for the person who acted, the rest in the log."""
    try:
        yield
    except SessionOver:
        _ask_to_sign_in()
    except SharpwaveError as error:
        _complain(error.message)
    except ValidationError as error:  # of what was filled in
        first = error.errors()[0]
        _complain(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
    except Exception as error:  # noqa: BLE001 - an action that fails must say so to who acted
        _complain(problem_of_fault(error, doing)["detail"])


def visit(address: str) -> None:
    """Open another page, by the address that ``url`` returns; NiceGUI puts where pages are mounted before it again."""
    ui.navigate.to(address.removeprefix(ROOT))


async def is_sure(question: str, *, yes: str, no: str) -> bool:
    """Ask before something that cannot be taken back."""
    with ui.dialog(value=True).props('aria-label="Are you sure?"') as dialog, ui.card():
        ui.label(question)
        with ui.row():
            ui.button(yes, color="negative", on_click=lambda: dialog.submit(True))
            ui.button(no, on_click=lambda: dialog.submit(False)).props("flat")
    return bool(await dialog)


def show(html: Markup) -> KeptHtml:
    """Put HTML on the page that ``markup`` made; a plain string is escaped."""
    return KeptHtml(str(Markup("{}").format(html)))


def heading(text: str, lead: str | Markup = "") -> None:
    """Put the title of a page, and a sentence below it."""
    show(Markup("<h1>{}</h1>").format(text) + (Markup('<p class="lead">{}</p>').format(lead) if lead else Markup("")))


def section(text: str) -> None:
    """Put the title of a part of a page."""
    show(Markup("<h2>{}</h2>").format(text))


async def _lay_out(desk: Desk, title: str, place: str, collection: str | None) -> None:
    names = await desk.list_names()
    known = collection if collection in names else None
    near = known or ("default" if "default" in names else next(iter(names), None))
    with ui.header().classes("top"):
        menu = ui.button(icon="menu").props('flat round dense aria-label="Menu"')
        show(Markup('<a class="brand" href="{}">Sharpwave</a>').format(f"{ROOT}/"))
        ui.space()
        if known is not None:
            ui.select(
                names, value=known, label="Collection", on_change=lambda to: visit(url("c", to.value, place))
            ).props("dense outlined options-dense").classes("choice")
        dark = ui.dark_mode(None)
        ui.button(icon="contrast", on_click=lambda: dark.set_value(not dark.value)).props(
            'flat round dense aria-label="Light or dark"'
        )
        if desk.signed_in:
            show(Markup('<form method="post" action="{}"><button>Sign out</button></form>').format(url("sign-out")))
    with ui.left_drawer().props("width=210 breakpoint=800").classes("side") as drawer:
        show(_list_places(title, near))
    menu.on_click(drawer.toggle)
    if collection is not None and known is None:
        raise NotFound("collection", collection)


def _list_places(title: str, collection: str | None) -> Markup:
    lines = Markup("")
    for name, icon, address, is_inside in _PLACES:
        if is_inside and collection is None:
            continue
        target = url("c", collection, address) if is_inside else url(address)
        current = Markup(' aria-current="page"') if name == title else ""
        lines += Markup('<li><a href="{}"{}><i class="material-icons" aria-hidden="true">{}</i>{}</a></li>').format(
            target, current, icon, name
        )
    return Markup('<nav aria-label="Pages"><ul>{}</ul></nav>').format(lines)


def _say(error: SharpwaveError) -> None:
    title = "Not found" if isinstance(error, NotFound) else "That did not work"
    with ui.column().classes("content"):
        show(Markup('<h1>{}</h1><p class="empty">{}</p>').format(title, error.message))
        show(link("To the overview", f"{ROOT}/"))


def _complain(message: str) -> None:
    ui.notify(message, type="negative", multi_line=True, close_button="Close", timeout=0)


def _ask_to_sign_in() -> None:
    client = ui.context.client
    if client in _asked:  # a page that refreshes itself asks once
        return
    _asked.add(client)
    with ui.dialog(value=True).props('persistent aria-label="The session has ended"'), ui.card():
        ui.label("The session has ended. Sign in again to go on from here.")
        # In the browser: it knows what the page has put into its address since it was opened.
        ui.button("Sign in").on("click", js_handler=_SIGN_IN)
