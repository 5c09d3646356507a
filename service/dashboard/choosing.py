"""Documents that are ticked in a list, and forgotten together: one preview, one confirmation, one commit."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup
from nicegui import events, ui

from memory_graph.errors import NotFound
from service.api import documents, forgetting
from service.dashboard.desk import Desk
from service.dashboard.frame import show, told
from service.dashboard.kept_html import KeptHtml
from service.dashboard.markup import number, size, table
from service.forgetting_schemas import ForgetIn, ForgottenOut

ALL = Markup('<input type="checkbox" name="all" autocomplete="off" aria-label="Choose all on this page">')
APART = "What rests on several of them alone is only in the last line."
_KINDS = {
    "Passages#": "passages",
    "Phrases#": "phrases",
    "Facts#": "facts",
    "Notes#": "notes",
    "Replies#": "replies",
    "Questions#": "queries",
    "Items of jobs#": "job_items",
}
# Says which are ticked; the box of the head ticks all, and shows whether all are.
_TICKED = """(event) => {
  const place = event.target.closest('table'), all = place.querySelector('input[name=all]');
  const boxes = [...place.querySelectorAll('input[name=chosen]')];
  if (event.target === all) for (const one of boxes) one.checked = all.checked;
  const ticked = boxes.filter(one => one.checked);
  all.checked = ticked.length === boxes.length;
  all.indeterminate = !all.checked && ticked.length > 0;
  emit(ticked.map(one => one.value));
}"""


def tick(document_id: str, title: str) -> Markup:
    """Return the box that chooses a document of a list."""
    return Markup('<input type="checkbox" name="chosen" autocomplete="off" value="{}" aria-label="Choose {}">').format(
        document_id, title or document_id
    )


class Choosing:
    """What is ticked in a list, and the button that forgets it; ``titles`` are those of the listed documents by id."""

    def __init__(self, desk: Desk, collection: str, titles: Mapping[str, str]) -> None:
        self._desk = desk
        self._collection = collection
        self._titles = titles
        self._chosen: list[str] = []
        with ui.row():  # else it is as wide as the page
            self._button = ui.button("Forget what is chosen", icon="delete", color="negative", on_click=self._forget)
        self._button.disable()

    def follow(self, listed: KeptHtml) -> None:
        """Keep up with what is ticked in the list."""
        listed.on("change", self._note, js_handler=_TICKED)

    def _note(self, event: events.GenericEventArguments) -> None:
        self._chosen = [one for one in event.args if one in self._titles]
        self._button.set_enabled(bool(self._chosen))
        self._button.set_text(f"Forget {_count(len(self._chosen))}" if self._chosen else "Forget what is chosen")

    async def _forget(self) -> None:
        async with told("looking at what would be forgotten"):
            self._button.props("loading")
            try:
                apart, together = await self._preview(list(self._chosen))
            finally:
                self._button.props(remove="loading")
            if await self._is_sure(apart, together):
                wanted = ForgetIn(documents=list(apart))
                await self._desk.call(forgetting.forget_many, collection=self._collection, body=wanted)
                ui.navigate.reload()

    async def _preview(self, chosen: list[str]) -> tuple[dict[str, ForgottenOut], ForgottenOut]:
        """Return what would go with each alone, and with all of them; those that are gone already are left out."""
        apart: dict[str, ForgottenOut] = {}
        for one in chosen:
            try:
                apart[one] = await self._desk.call(
                    documents.forget, collection=self._collection, document_id=one, dry_run=True
                )
            except NotFound:
                continue
        if not apart:
            raise NotFound("document", chosen[0])
        wanted = ForgetIn(documents=list(apart), dry_run=True)
        return apart, await self._desk.call(forgetting.forget_many, collection=self._collection, body=wanted)

    async def _is_sure(self, apart: Mapping[str, ForgottenOut], together: ForgottenOut) -> bool:
        phrase = f"forget {_count(len(apart))}"
        rows = [_row(self._titles[one] or one, erased) for one, erased in apart.items()]
        rows.append(_row(Markup("<b>All together</b>"), together))
        with ui.dialog(value=True).props('aria-label="Forget these documents?"') as dialog, ui.card().classes("broad"):
            show(Markup("<h2>Forget these documents?</h2>"))
            show(table("What would go", ("Document", *_KINDS, "Text#"), rows) + Markup("<p>{}</p>").format(APART))
            typed = ui.input(f"Type “{phrase}” to confirm").classes("typed")
            with ui.row():
                sure = ui.button("Forget them", color="negative", on_click=lambda: dialog.submit(True))
                sure.bind_enabled_from(typed, "value", backward=lambda text: text.strip() == phrase)
                ui.button("Keep them", color=None, on_click=lambda: dialog.submit(False)).props("flat")
        return bool(await dialog)


def _row(name: str, erased: ForgottenOut) -> tuple[object, ...]:
    return name, *(number(getattr(erased, kind)) for kind in _KINDS.values()), size(erased.bytes)


def _count(documents: int) -> str:
    return f"{documents} document{'' if documents == 1 else 's'}"
