"""Whether an answer was right: thumbs up or down, with a comment and what would have been right."""

from __future__ import annotations

from typing import Literal

from markupsafe import Markup
from nicegui import ui

from service.api import queries
from service.dashboard.desk import Desk
from service.dashboard.frame import show, told
from service.dashboard.markup import moment
from service.inspection_schemas import FeedbackIn, FeedbackOut

Rating = Literal[1, -1]


class Feedback:
    """What is said of an answer; it is shown, and can be changed."""

    def __init__(
        self,
        desk: Desk,
        query_id: str,
        rating: int | None = None,
        comment: str | None = None,
        correct_answer: str | None = None,
        *,
        takes_words: bool = True,
    ) -> None:
        self._desk, self._query_id, self._takes_words = desk, query_id, takes_words
        self._rating = rating
        with ui.row().classes("ask"):
            self._up = self._offer("thumb_up", 1, "Right answer")
            self._down = self._offer("thumb_down", -1, "Wrong answer")
            self._comment = ui.input("Comment", value=comment or "").props("outlined").classes("wide")
            self._correct = ui.input("The right answer", value=correct_answer or "").props("outlined").classes("wide")
            self._save = ui.button("Save", on_click=self._send)
        self._said = show(Markup("")).props('role="status"')
        for field in (self._comment, self._correct):
            field.on("keydown.enter", self._send)
            if not takes_words:
                field.disable()
        self._show()

    def _offer(self, icon: str, rating: Rating, label: str) -> ui.button:
        made = ui.button(icon=icon, on_click=lambda: self._rate(rating))
        return made.classes("thumb").props(f'aria-label="{label}"')

    def _show(self) -> None:
        for button, rating in ((self._up, 1), (self._down, -1)):
            is_said = self._rating == rating
            button.props(f'aria-pressed="{str(is_said).lower()}"').props(
                remove="flat" if is_said else "", add="" if is_said else "flat"
            )
        self._save.set_enabled(self._rating is not None)

    async def _rate(self, rating: Rating) -> None:
        self._rating = rating
        self._show()
        await self._send()

    async def _send(self) -> None:
        if self._rating is None:
            return
        async with told("rating an answer"):
            words = {
                "comment": self._comment.value or None if self._takes_words else None,
                "correct_answer": self._correct.value or None if self._takes_words else None,
            }
            body = FeedbackIn.model_validate({"rating": self._rating, **words})
            kept: FeedbackOut = await self._desk.call(queries.rate, query_id=self._query_id, body=body)
            what = "right" if kept.rating == 1 else "wrong"
            self._said.content = str(Markup("Kept as {}, {}.").format(what, moment(kept.rated_at)))
