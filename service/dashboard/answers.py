"""An answer on a page: as it is written, with its citations, and with the passages that it rests on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from typing import Any

from markupsafe import Markup

from retrieval.answer import Token
from retrieval.search import SearchResult
from retrieval.strategies.task import Note
from service.dashboard.asking import Piece
from service.dashboard.frame import show
from service.dashboard.kept_html import KeptHtml
from service.dashboard.markup import badge, facts, link, milliseconds, number, url
from service.recall_schemas import CitationOut, HitOut, QueryOut


class Writing:
    """The place where an answer is written."""

    def __init__(self) -> None:
        self._html = show(Markup("")).classes("answer").props('role="status" aria-live="polite"')

    def say(self, text: str) -> None:
        """Say what is going on."""
        self._html.content = str(Markup("{}").format(text))

    async def follow(self, pieces: AsyncGenerator[Piece, None], anchor: str = "p") -> QueryOut:
        """Show the pieces as they come; return the answer, which is shown with links to the passages it cites."""
        said, answer = "", None
        async with aclosing(pieces) as stream:
            async for one in stream:
                if isinstance(one, SearchResult):
                    self.say(f"Found {len(one.hits)} passages, reading …")
                elif isinstance(one, Note):
                    self.say(f"Noted: {one.text}" if one.text else "Noted nothing, reading on …")
                elif isinstance(one, Token):
                    said += one.text
                    self.say(said)
                else:
                    answer = one
        assert answer is not None  # every stream ends with one, or raises
        self._html.content = str(draw_answer(answer.answer, answer.citations, anchor))
        return answer


def draw_answer(text: str, citations: Iterable[CitationOut | Mapping[str, Any]], anchor: str = "p") -> Markup:
    """Return an answer followed by its citations, each a link to the passage that it quotes on the same page."""
    links = Markup("")
    for one in citations:
        n, passage_id = (one.n, one.passage_id) if isinstance(one, CitationOut) else (one["n"], one["passage_id"])
        links += Markup(' <a class="cite" href="#{}{}" aria-label="Citation {}">[{}]</a>').format(
            anchor, passage_id, n, n
        )
    return Markup("{}{}").format(text, links)


def draw_facts(answer: QueryOut, link_to: bool = True) -> Markup:
    """Return what an answer took."""
    told: dict[str, object] = {
        "Outcome": draw_outcome(answer.found, answer.extractive),
        "Time": milliseconds(answer.timings_ms["total"]),
        "Tokens": number(answer.usage.prompt_tokens + answer.usage.completion_tokens, "tokens"),
        "Calls of the model": number(answer.usage.calls),
        "Strategy": answer.strategy,
        "Fallback": answer.fallback_reason or "none",
    }
    if link_to:
        told["Trace"] = link("Why this answer", url("questions", answer.query_id))
    return facts(told)


def draw_outcome(found: bool, extractive: bool = False) -> Markup:
    """Return whether the memory could answer."""
    if extractive:
        return badge("quoted", "busy")
    return badge("answered", "good") if found else badge("not in memory", "bad")


def draw_passages(collection: str, answer: QueryOut, anchor: str = "p") -> Markup:
    """Return the passages that were found, what is quoted of each marked."""
    cited: dict[int, list[CitationOut]] = {}
    for citation in answer.citations:
        cited.setdefault(citation.passage_id, []).append(citation)
    return Markup("").join(_draw(collection, hit, cited.get(hit.passage_id, []), anchor) for hit in answer.hits)


def mark_quotes(text: str, quotes: Iterable[str]) -> Markup:
    """Return a text with the quotes in it marked; one that overlaps an earlier one, or is not there, is left out."""
    spans: list[tuple[int, int]] = []
    for quote in quotes:
        begin = text.find(quote) if quote else -1
        end = begin + len(quote)
        if begin >= 0 and all(end <= first or last <= begin for first, last in spans):
            spans.append((begin, end))
    marked, at = Markup(""), 0
    for begin, end in sorted(spans):
        marked += Markup("{}<mark>{}</mark>").format(text[at:begin], text[begin:end])
        at = end
    return marked + Markup("{}").format(text[at:])


def _draw(collection: str, hit: HitOut, citations: list[CitationOut], anchor: str) -> Markup:
    badges = Markup("").join(
        badge(f"cited [{one.n}]" + ("" if one.supported else ", does not carry it alone"), "good") for one in citations
    )
    copies = Markup("<footer>also in {}</footer>").format(", ".join(hit.duplicates)) if hit.duplicates else Markup("")
    return Markup(
        '<article class="passage{}" id="{}{}"><header><span>{}</span>{}<span class="number">score {:.4f}</span>{}'
        '<a href="{}">passage {}</a></header><div class="text">{}</div>{}</article>'
    ).format(
        " cited" if citations else "",
        anchor,
        hit.passage_id,
        f"{hit.rank}.",
        link(hit.title or hit.document_id, url("c", collection, "documents", hit.document_id)),
        hit.score,
        badges,
        url("c", collection, "passages", hit.passage_id),
        hit.ordinal + 1,
        mark_quotes(hit.text, (one.quote for one in citations)),
        copies,
    )


def show_passages(collection: str, answer: QueryOut, anchor: str = "p") -> KeptHtml:
    """Put the passages on the page."""
    return show(draw_passages(collection, answer, anchor) or Markup('<p class="empty">Nothing was found.</p>'))
