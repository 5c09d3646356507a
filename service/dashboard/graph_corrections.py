"""Corrections made from the page of the graph: filled in, looked at, and only then made."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup
from nicegui import ui

from memory_graph.errors import SharpwaveError
from service.api import corrections
from service.dashboard.desk import Desk
from service.dashboard.frame import show, told
from service.dashboard.graph_finder import name_field, open_dialog
from service.dashboard.markup import facts, link, number, table, url
from service.inspection_schemas import CorrectionIn, CorrectionOut, EffectOut, FactDetailOut, PhraseDetailOut

ANY = "however it is written"


async def merge(desk: Desk, collection: str, phrase: PhraseDetailOut) -> CorrectionOut | None:
    """Let names become one; return what was done, None if nothing was."""
    with open_dialog("Merge names") as dialog, ui.card().classes("form"):
        show(Markup("<h2>Merge {}</h2>").format(phrase.name))
        show(Markup("<p>Which names mean the same?</p>"))
        boxes: dict[str, ui.checkbox] = {}
        column = ui.column()
        with ui.row():
            other = name_field(desk, collection, "Another name")
            add = ui.button("Add", color=None).props("flat")
        stays = ui.select([phrase.name], value=phrase.name, label="The name that stays").props("outlined color=mark")
        reason = _reason()

        def chosen() -> list[str]:
            return [name for name, box in boxes.items() if box.value]

        def offer_stays() -> None:
            names = [phrase.name, *chosen()]
            stays.set_options(names, value=stays.value if stays.value in names else phrase.name)

        def add_box(name: str, *, is_chosen: bool) -> None:
            if name and name != phrase.name and name not in boxes:
                with column:
                    boxes[name] = ui.checkbox(name, value=is_chosen, on_change=offer_stays)
            elif name in boxes:
                boxes[name].value = True
            offer_stays()

        def take() -> None:
            add_box((other.value or "").strip(), is_chosen=True)
            other.value = ""

        for one in phrase.synonyms:
            add_box(one.name, is_chosen=False)
        add.on_click(take)

        def filled() -> CorrectionIn:
            take()
            into = str(stays.value)
            names = [name for name in (phrase.name, *chosen()) if name != into]
            return CorrectionIn(kind="merge", names=names or None, into=into, reason=reason.value or "")

        _preview(desk, collection, dialog, filled, "Merge them")
    return await _done(desk, collection, dialog)


async def split(desk: Desk, collection: str, phrase: PhraseDetailOut) -> CorrectionOut | None:
    """Let a name become another in some places; return what was done, None if nothing was."""
    with open_dialog("Split a name") as dialog, ui.card().classes("form"):
        show(Markup("<h2>Split {}</h2>").format(phrase.name))
        show(Markup("<p>Where does it mean something else?</p>"))
        surfaces = [ANY, *(one.surface for one in phrase.surfaces)]
        surface = ui.select(surfaces, value=ANY, label="Where it is written").props("outlined color=mark")
        documents = _documents({one.document_id: one.title or one.document_id for one in phrase.documents})
        into = name_field(desk, collection, "The name that it becomes there")
        reason = _reason()

        def filled() -> CorrectionIn:
            return CorrectionIn(
                kind="split",
                name=phrase.name,
                into=into.value or None,
                surface=surface.value if surface.value != ANY else None,
                documents=documents.value or None,
                reason=reason.value or "",
            )

        _preview(desk, collection, dialog, filled, "Split it")
    return await _done(desk, collection, dialog)


async def retract(desk: Desk, collection: str, fact: FactDetailOut) -> CorrectionOut | None:
    """Take a fact out; return what was done, None if nothing was."""
    with open_dialog("Retract a fact") as dialog, ui.card().classes("form"):
        show(
            Markup("<h2>Retract a fact</h2><p>{} <em>{}</em> {}</p>").format(
                fact.subject.name, fact.predicate, fact.object.name
            )
        )
        documents = _documents({one.document_id: one.title or one.document_id for one in fact.evidence})
        reason = _reason()

        def filled() -> CorrectionIn:
            return CorrectionIn(
                kind="retract",
                subject=fact.subject.name,
                predicate=fact.predicate,
                object=fact.object.name,
                documents=documents.value or None,
                reason=reason.value or "",
            )

        _preview(desk, collection, dialog, filled, "Retract it")
    return await _done(desk, collection, dialog)


def _reason() -> ui.input:
    return ui.input("Why (it stays on record)").props("outlined color=mark")


def _documents(names: dict[str, str]) -> ui.select:
    label = "In these documents; in all, if none is chosen"
    return ui.select(names, value=[], multiple=True, label=label).props("outlined use-chips color=mark")


def _preview(desk: Desk, collection: str, dialog: ui.dialog, filled: Callable[[], CorrectionIn], yes: str) -> None:
    """Put the preview of what was filled in, and the button that does just what was previewed."""
    shown = show(Markup("")).props('role="status"')
    previewed: CorrectionIn | None = None

    async def look() -> None:
        nonlocal previewed
        previewed = None
        sure.disable()
        async with told("looking at what a correction would change"):
            body = filled()
            try:
                effect: EffectOut = await desk.call(corrections.preview_one, collection=collection, body=body)
            except SharpwaveError as error:  # beside what was filled in wrongly
                shown.content = str(Markup('<p class="empty">{}</p>').format(error.message))
            else:
                shown.content = str(_tell(collection, effect))
                previewed = body
                sure.enable()

    async def do() -> None:
        async with told("correcting"):
            if filled() != previewed:
                await look()
                ui.notify("It was changed since: look at what it does now.")
            else:
                dialog.submit(previewed)

    with ui.row():
        ui.button("Preview", on_click=look)
        sure = ui.button(yes, color="negative", on_click=do)
        sure.disable()
        ui.button("Leave it", color=None, on_click=lambda: dialog.submit(None)).props("flat")


async def _done(desk: Desk, collection: str, dialog: ui.dialog) -> CorrectionOut | None:
    body = await dialog
    if body is None:
        return None
    async with told("correcting"):
        made: CorrectionOut = await desk.call(corrections.make, collection=collection, body=body)
        return made
    return None


def _tell(collection: str, effect: EffectOut) -> Markup:
    rows = [
        (
            link(one.title or one.document_id, url("c", collection, "documents", one.document_id)),
            number(one.passages),
        )
        for one in effect.documents
    ]
    told_ = facts(
        {
            "Passages changed": number(effect.passages),
            "Names": _difference(effect.phrases),
            "Facts": _difference(effect.facts),
        }
    )
    return told_ + table("Documents changed", ("Document", "Passages#"), rows, empty="It changes nothing.")


def _difference(count: int) -> str:
    if not count:
        return "as many"
    return f"{abs(count):,} {'more' if count > 0 else 'fewer'}"
