"""What passages and phrases of a trace are called, as links."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from service.dashboard.markup import link, url
from service.recall_schemas import PassageNameOut

MOST_TITLE_CHARS = 60


@dataclass(frozen=True)
class Names:
    """Names passages of one collection; what was forgotten since has a number alone, and no link."""

    collection: str
    titles: Mapping[int, str]

    @classmethod
    def of(cls, collection: str, passages: Iterable[PassageNameOut]) -> Names:
        """Return the names of these passages."""
        return cls(collection, {one.id: call(one) for one in passages})

    def text(self, passage_id: int) -> str:
        """Return what a passage is called."""
        return self.titles.get(passage_id) or f"passage {passage_id}, forgotten since"

    def passage(self, passage_id: int) -> Markup:
        """Return a link to a passage."""
        if passage_id not in self.titles:
            return Markup('<span class="faint">{}</span>').format(self.text(passage_id))
        return link(self.text(passage_id), self.passage_url(passage_id))

    def passages(self, passage_ids: Iterable[int]) -> Markup:
        """Return links to passages."""
        return Markup(" · ").join(self.passage(one) for one in passage_ids)

    def passage_url(self, passage_id: int) -> str:
        """Return the address of a passage's page."""
        return url("c", self.collection, "passages", passage_id)

    def phrase(self, told: Mapping[str, Any]) -> Markup:
        """Return a link to the graph around a phrase, of what a trace tells of it."""
        return link(self.phrase_text(told), self.phrase_url(told))

    def phrase_text(self, told: Mapping[str, Any]) -> str:
        """Return what a phrase is called."""
        return told.get("phrase") or f"phrase {told['phrase_id']}"

    def phrase_url(self, told: Mapping[str, Any]) -> str:
        """Return the address of the graph around a phrase."""
        return url("c", self.collection, "graph", phrase=told["phrase_id"])


def call(passage: PassageNameOut) -> str:
    """Return what a passage is called: the title of its document, cut if it is long, and its number in it."""
    title = passage.title or passage.document_id
    short = title if len(title) <= MOST_TITLE_CHARS else f"{title[: MOST_TITLE_CHARS - 1]}…"
    return f"{short}, {passage.ordinal + 1}"
