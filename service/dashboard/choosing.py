"""Documents that are ticked in a list, and forgotten together: one preview, one confirmation, one commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
APART = "What rests on several of them alone is only in the first line."
AT_ONCE = 10  # documents, after which the preview is shown anew
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
                chosen = list(self._chosen)
                wanted = ForgetIn(documents=chosen, dry_run=True)
                together = await self._desk.call(forgetting.forget_many, collection=self._collection, body=wanted)
                if not together.documents:
                    raise NotFound("document", chosen[0])
            finally:
                self._button.props(remove="loading")
            if await self._is_sure(chosen, together):
                wanted = ForgetIn(documents=chosen)
                await self._desk.call(forgetting.forget_many, collection=self._collection, body=wanted)
                ui.navigate.reload()

    async def _is_sure(self, chosen: Sequence[str], together: ForgottenOut) -> bool:
        """Tell what would go with all, then with each alone as it is found, and ask."""
        phrase = f"forget {_count(together.documents)}"
        apart: dict[str, ForgottenOut | None] = dict.fromkeys(chosen)
        with ui.dialog(value=True).props('aria-label="Forget these documents?"') as dialog, ui.card().classes("broad"):
            show(Markup("<h2>Forget these documents?</h2>"))
            shown = show(self._preview(apart, together))
            typed = ui.input(f"Type “{phrase}” to confirm").classes("typed")
            with ui.row():
                sure = ui.button("Forget them", color="negative", on_click=lambda: dialog.submit(True))
                sure.bind_enabled_from(typed, "value", backward=lambda text: text.strip() == phrase)
                ui.button("Keep them", color=None, on_click=lambda: dialog.submit(False)).props("flat")

            async def tell_apart() -> None:
                async with told("looking at what would be forgotten"):
                    for number_, one in enumerate(chosen, 1):
                        if not dialog.value:
                            return
                        try:
                            apart[one] = await self._desk.call(
                                documents.forget, collection=self._collection, document_id=one, dry_run=True
                            )
                        except NotFound:
                            del apart[one]
                        if number_ % AT_ONCE == 0 or number_ == len(chosen):
                            shown.content = str(self._preview(apart, together))

            ui.timer(0.01, tell_apart, once=True)
        return bool(await dialog)

    def _preview(self, apart: Mapping[str, ForgottenOut | None], together: ForgottenOut) -> Markup:
        """Return what would go with all and with each; what is not known yet is being looked at."""
        rows = [_row(Markup("<b>All together</b>"), together)]
        rows += [_row(self._titles[one] or one, erased) for one, erased in apart.items()]
        return table("What would go", ("Document", *_KINDS, "Text#"), rows) + Markup("<p>{}</p>").format(APART)


def _row(name: str, erased: ForgottenOut | None) -> tuple[object, ...]:
    if erased is None:
        return name, *("…" for _ in _KINDS), "…"
    return name, *(number(getattr(erased, kind)) for kind in _KINDS.values()), size(erased.bytes)


def _count(documents: int) -> str:
    return f"{documents} document{'' if documents == 1 else 's'}"
