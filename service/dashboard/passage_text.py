"""The text of a passage with what was found in it: names lead to the graph, the parts of a fact light up together."""

from __future__ import annotations

from markupsafe import Markup

from service.dashboard.markup import url
from service.learning_schemas import MarkedPassageOut, MarkOut

# Events of the browser alone: whatever is a part of a fact lights up the others of its passage.
LIGHTING = """
(() => {
  if (window.lighting) return;
  window.lighting = true;
  const idsOf = one => new Set((one?.dataset.facts || '').split(' ').filter(Boolean));
  const light = (event, on) => {
    const part = event.target.closest?.('[data-facts]'), passage = part?.closest('.passage');
    if (!passage) return;
    const ids = idsOf(part);
    for (const one of passage.querySelectorAll('[data-facts]'))
      if ([...idsOf(one)].some(id => ids.has(id))) one.classList.toggle('lit', on);
  };
  for (const name of ['mouseover', 'focusin']) document.addEventListener(name, event => light(event, true));
  for (const name of ['mouseout', 'focusout']) document.addEventListener(name, event => light(event, false));
})()
"""


def draw_passage(passage: MarkedPassageOut, collection: str, *, is_asked: bool = False) -> Markup:
    """Return a passage with its number, its text with marks, and what it names and states."""
    parts = (f"Passage {passage.ordinal + 1:,}", passage.heading, f"page {passage.page}" if passage.page else "")
    head = Markup("").join(Markup("<span>{}</span>").format(part) for part in parts if part)
    return Markup(
        '<article class="passage{}" id="p{}"><header>{}</header><div class="text">{}</div>{}</article>'
    ).format(" cited" if is_asked else "", passage.id, head, mark_text(passage, collection), _list(passage, collection))


def mark_text(passage: MarkedPassageOut, collection: str) -> Markup:
    """Return the text as HTML, whatever it holds, with a link for each name and a mark for each relation."""
    told = {fact.id: f"{fact.subject.name} {fact.predicate} {fact.object.name}" for fact in passage.facts}
    parts, at = [], 0
    for mark in passage.marks:
        parts.append(Markup("{}").format(passage.text[at : mark.start]))
        parts.append(_mark(passage.text[mark.start : mark.end], mark, collection, told))
        at = mark.end
    parts.append(Markup("{}").format(passage.text[at:]))
    return Markup("").join(parts)


def _mark(text: str, mark: MarkOut, collection: str, told: dict[int, str]) -> Markup:
    ids = " ".join(map(str, mark.fact_ids))
    title = "\n".join(told[one] for one in mark.fact_ids)
    facts = Markup(' data-facts="{}" title="{}"').format(ids, title) if ids else Markup("")
    if mark.phrase_id is None:
        return Markup('<mark class="relation"{}>{}</mark>').format(facts, text)
    return Markup('<a class="name" href="{}"{}>{}</a>').format(_graph(collection, mark.phrase_id), facts, text)


def _list(passage: MarkedPassageOut, collection: str) -> Markup:
    if not passage.names and not passage.facts:
        return Markup("")
    names = Markup(", ").join(
        Markup('<a href="{}">{}</a>{}').format(
            _graph(collection, one.id), one.name, f" ({one.count})" if one.count > 1 else ""
        )
        for one in passage.names
    )
    facts = Markup("").join(
        Markup('<li data-facts="{}"><a href="{}">{}</a> <b>{}</b> <a href="{}">{}</a></li>').format(
            one.id,
            _graph(collection, one.subject.id),
            one.subject.name,
            one.predicate,
            _graph(collection, one.object.id),
            one.object.name,
        )
        for one in passage.facts
    )
    said = f"{_count(len(passage.names), 'name')}, {_count(len(passage.facts), 'fact')}"
    named = Markup("<p>{}</p>").format(names) if names else Markup("")
    stated = Markup('<ul class="stated">{}</ul>').format(facts) if facts else Markup("")
    return Markup("<details><summary>{}</summary>{}{}</details>").format(said, named, stated)


def _graph(collection: str, phrase_id: int) -> str:
    return url("c", collection, "graph", phrase=phrase_id)


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
