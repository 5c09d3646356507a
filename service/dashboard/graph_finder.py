"""Names found as they are typed, by the server."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from markupsafe import Markup
from nicegui import events, ui

from memory_graph.text import normalize
from service.api import inspection
from service.dashboard.desk import Desk
from service.dashboard.frame import show, told
from service.dashboard.graph_tables import found_phrases
from service.inspection_schemas import PhraseOut

FOUND = 12
_DEBOUNCE_MS = 200
# Enter opens the first that was found; the arrows go from the field to what was found, and along it.
_KEYS = """(event) => {
  const links = [...document.querySelectorAll("#found .found li > a")];
  const at = links.indexOf(document.activeElement);
  const field = document.querySelector("#finder input");
  if (event.key === "ArrowDown" && at + 1 < links.length) links[at + 1].focus();
  else if (event.key === "ArrowUp" && at >= 0) (links[at - 1] ?? field).focus();
  else if (event.key === "Enter" && document.activeElement === field) links[0]?.click();
  else return;
  event.preventDefault();
}"""


async def find(desk: Desk, collection: str, typed: str) -> Sequence[PhraseOut]:
    """Return the names that begin like what was typed, then those that hold it; those in most passages first.

    Where what was typed is a name that was merged away, what it became comes first.
    """
    if not any(character.isalnum() for character in typed):
        return []
    found: dict[int, PhraseOut] = {}
    for match in ("prefix", "substring"):
        answer = await desk.call(
            inspection.list_phrases, collection=collection, q=typed, match=match, sort="degree", limit=FOUND
        )
        found |= {one.id: found.get(one.id, one) for one in answer.phrases}
        if answer.became is not None:
            found = {answer.became.id: answer.became} | found
        if len(found) >= FOUND:
            break
    return list(found.values())[:FOUND]


def offer_search(desk: Desk, collection: str, *, beside: bool) -> ui.input:
    """Put a field that finds names while one types; ``beside`` offers to add them to the picture."""
    newest = 0

    async def look(event: events.ValueChangeEventArguments[str | None]) -> None:
        nonlocal newest
        newest += 1
        mine = newest
        async with told("looking for a name"):
            some = await find(desk, collection, event.value or "")
            if mine == newest:  # what was typed since is being looked for
                typed = normalize(event.value or "")
                html = found_phrases(collection, some, typed, beside=beside) if event.value else Markup("")
                found.content = str(html)

    with ui.column().on("keydown", js_handler=_KEYS):
        field = ui.input("Find a name", on_change=look).props(
            f"id=finder outlined clearable color=mark debounce={_DEBOUNCE_MS} autocomplete=off type=search"
        )
        found = show(Markup("")).props("id=found aria-live=polite")
    return field


def open_dialog(label: str) -> ui.dialog:
    """Return an open dialog, which is read out as ``label``."""
    return ui.dialog(value=True).props(f'aria-label="{label}"')


def name_field(desk: Desk, collection: str, label: str, value: str = "") -> ui.input:
    """Put a field for a name, which the browser completes with names of the collection."""
    list_id = f"names-{uuid4().hex[:8]}"

    async def offer(event: events.ValueChangeEventArguments[str | None]) -> None:
        async with told("looking for a name"):
            some = await find(desk, collection, event.value or "")
            names = (Markup('<option value="{}">{} passages</option>').format(one.name, one.degree) for one in some)
            offered.content = str(Markup('<datalist id="{}">{}</datalist>').format(list_id, Markup("").join(names)))

    field = ui.input(label, value=value, on_change=offer).props(
        f"outlined dense color=mark debounce={_DEBOUNCE_MS} list={list_id} autocomplete=off"
    )
    offered = show(Markup('<datalist id="{}"></datalist>').format(list_id))
    return field
