"""The same graph as tables and buttons, for the keyboard and for whoever does not see the picture."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from markupsafe import Markup

from service.dashboard.graph_picture import colour_of
from service.dashboard.markup import badge, facts, link, moment, number, table, url
from service.inspection_schemas import (
    CommunitiesOut,
    CorrectionOut,
    EvidenceOut,
    FactDetailOut,
    FactOut,
    MergedOut,
    NameGraphOut,
    PathOut,
    PhraseDetailOut,
    PhraseOut,
    SnippetOut,
    StepOut,
    TieOut,
)

ROWS = 10  # of a table at once


def button(act: str, row_id: int, text: str, label: str) -> Markup:
    """Return a button that the page acts on; ``label`` says of which row it is."""
    return Markup('<button type="button" class="act" data-act="{}" data-id="{}" aria-label="{}">{}</button>').format(
        act, row_id, label, text
    )


def buttons(*some: Markup) -> Markup:
    """Return buttons beside each other."""
    return Markup('<span class="acts">{}</span>').format(Markup("").join(some))


def save_as(kinds: Sequence[str]) -> Markup:
    """Return the buttons that save what is shown."""
    each = (button(f"save-{kind}", 0, kind.upper(), f"Save as {kind.upper()}") for kind in kinds)
    return buttons(Markup('<span class="faint">Save as</span>'), *each)


def found_phrases(collection: str, found: Sequence[PhraseOut], typed: str, *, beside: bool) -> Markup:
    """Return what was found of a name as it is typed; ``beside`` offers to add it to the picture.

    A name without the words that were ``typed``, normalised, was found because these were merged into it.
    """
    if not found:
        return Markup('<p class="faint" role="status">No name like that.</p>')
    lines = Markup("").join(
        Markup("<li>{} {}{}</li>").format(
            link(one.name, url("c", collection, "graph", phrase=one.id, chosen=one.id)),
            Markup('<span class="faint">{}{}</span>').format(
                "what this name was merged into, " if typed not in one.key else "", _in_passages(one.degree)
            ),
            button("expand", one.id, "Add", f"Add {one.name} to the picture") if beside else "",
        )
        for one in found
    )
    return Markup('<ul class="found" aria-label="Names found">{}</ul>').format(lines)


def best_connected(collection: str, found: Sequence[PhraseOut]) -> Markup:
    """Return the names that stand in most passages."""
    rows = [
        (link(one.name, url("c", collection, "graph", phrase=one.id, chosen=one.id)), number(one.degree))
        for one in found
    ]
    empty = "No names yet: they come with the documents that this collection learns."
    return table("Names in most passages", ("Name", "Passages#"), rows, empty=empty)


def largest_communities(collection: str, found: CommunitiesOut, most: int) -> Markup:
    """Return the largest groups, each with a link to its picture."""
    rows = [
        (
            link(", ".join(one.label), url("c", collection, "graph", community=one.phrase_ids[0])),
            number(one.size),
        )
        for one in found.communities[:most]
    ]
    return table("Largest communities", ("Names that hang together", "Names#"), rows, empty="No names share passages.")


def merges_followed(merged: Iterable[MergedOut]) -> Markup:
    """Return what names became that were asked for by their old ids."""
    names = sorted({one.name for one in merged})
    return Markup("").join(
        Markup('<p class="empty">A name that was asked for was merged into {}, which is shown instead.</p>').format(
            name
        )
        for name in names
    )


def names_shown(graph: NameGraphOut, opened: Collection[int], page: int) -> Markup:
    """Return a page of the names in the picture, those that were asked for first."""
    ties: dict[int, int] = {}
    for tie in graph.ties:
        for end in (tie.source, tie.target):
            ties[end] = ties.get(end, 0) + 1
    rows = [
        (
            Markup('<i class="dot" style="background: {}" aria-hidden="true"></i> {}').format(
                colour_of(one.community), button("choose", one.id, one.name, f"Look at {one.name}")
            ),
            number(one.degree),
            number(ties.get(one.id, 0)),
            number(one.community + 1),
            _steps(one.id, one.name, one.id in opened),
        )
        for one in graph.names[page * ROWS : (page + 1) * ROWS]
    ]
    columns = ("Name", "Passages#", "Ties#", "Group#", "What to do")
    return table("Names in the picture", columns, rows) + turn("names", page, len(graph.names))


def ties_shown(graph: NameGraphOut, page: int) -> Markup:
    """Return a page of the ties in the picture."""
    name = {one.id: one.name for one in graph.names}
    rows = [
        (name[tie.source], _how(tie), name[tie.target], _weight(tie), _proof(tie, name))
        for tie in graph.ties[page * ROWS : (page + 1) * ROWS]
    ]
    columns = ("From", "How", "To", "Weight#", "Why")
    shown = table("Ties in the picture", columns, rows, empty="Nothing joins these names.")
    return shown + turn("ties", page, len(graph.ties))


def turn(what: str, page: int, total: int) -> Markup:
    """Return the buttons that turn the pages of a table, if it has more than one."""
    if total <= ROWS:
        return Markup("")
    last = (total - 1) // ROWS
    before = button(f"{what}-page", page - 1, "Before", f"{what}: the page before") if page else Markup("")
    after = button(f"{what}-page", page + 1, "Next", f"{what}: the next page") if page < last else Markup("")
    where = f"{page * ROWS + 1:,} to {min((page + 1) * ROWS, total):,} of {total:,}"
    return Markup('<p class="acts">{}<span class="faint">{}</span>{}</p>').format(before, where, after)


def phrase_head(collection: str, phrase: PhraseDetailOut, *, is_open: bool, is_shown: bool) -> Markup:
    """Return a name with its figures and what can be done with it."""
    written = ", ".join(one.surface for one in phrase.surfaces[:5])
    figures = {"Passages": number(phrase.degree), "Written": written or "only in facts"}
    acts = [
        button("collapse", phrase.id, "Collapse", f"Collapse {phrase.name}")
        if is_open
        else button("expand", phrase.id, "Expand", f"Expand {phrase.name}")
    ]
    if is_shown:
        acts.append(button("remove", phrase.id, "Remove", f"Remove {phrase.name} from the picture"))
    acts.append(button("merge", phrase.id, "Merge …", f"Merge {phrase.name} with other names"))
    if phrase.surfaces:
        acts.append(button("split", phrase.id, "Split …", f"Split {phrase.name}"))
    acts.append(button("path-from", phrase.id, "Path from here", f"Path from {phrase.name}"))
    alone = link("Only this name", url("c", collection, "graph", phrase=phrase.id, chosen=phrase.id))
    return Markup('<h2 tabindex="-1">{}</h2>{}<p>{} {}</p>').format(phrase.name, facts(figures), buttons(*acts), alone)


def phrase_facts(phrase: PhraseDetailOut) -> Markup:
    """Return the facts about a name, each with the way to its evidence."""
    rows = [
        (
            Markup("{} <em>{}</em> {}").format(one.subject.name, one.predicate, one.object.name),
            buttons(
                button("evidence", one.id, _in_passages(one.passages), f"Evidence: {_say(one)}"),
                button("retract", one.id, "Retract …", f"Retract: {_say(one)}"),
            ),
        )
        for one in phrase.facts
    ]
    return table("Facts", ("Fact", "Evidence"), rows, empty="No fact is about this name.")


def phrase_synonyms(phrase: PhraseDetailOut) -> Markup:
    """Return the names that searches take for the same."""
    rows = [
        (button("show", one.id, one.name, f"Show {one.name}"), number(one.similarity * 100, "%"))
        for one in phrase.synonyms
    ]
    return table("Synonyms", ("Name", "Alike#"), rows, empty="No other name is taken for the same.")


def phrase_places(collection: str, phrase: PhraseDetailOut) -> Markup:
    """Return the documents and passages in which a name stands."""
    stands = [(_document(collection, one.document_id, one.title), number(one.passages)) for one in phrase.documents]
    texts = Markup("").join(
        evidence(collection, one, [surface.surface for surface in phrase.surfaces]) for one in phrase.passages[:10]
    )
    return Markup("{}<details><summary>The passages with most mentions</summary>{}</details>").format(
        table("Documents", ("Document", "Passages#"), stands, empty="It stands in no passage: only facts name it."),
        texts,
    )


def fact_evidence(collection: str, fact: FactDetailOut, surfaces: Iterable[str]) -> Markup:
    """Return the passages that state a fact, its ends marked."""
    marked = [fact.subject.name, fact.object.name, *surfaces]
    texts = Markup("").join(evidence(collection, one, marked) for one in fact.evidence)
    more = fact.passages - len(fact.evidence)
    rest = Markup('<p class="faint">{} more passages state it.</p>').format(more) if more > 0 else Markup("")
    return Markup("<h2>{}</h2>{}{}").format(_say(fact), texts, rest)


def evidence(collection: str, passage: EvidenceOut, names: Sequence[str]) -> Markup:
    """Return a passage with names marked."""
    head = Markup("<span>{}</span><span>{}</span>").format(
        _document(collection, passage.document_id, passage.title),
        link(f"Passage {passage.ordinal + 1}", url("c", collection, "passages", passage.passage_id)),
    )
    return Markup('<article class="passage"><header>{}</header><div class="text">{}</div></article>').format(
        head, mark(passage.text, names)
    )


def mark(text: str, names: Iterable[str]) -> Markup:
    """Return a text with every place of some names marked, whatever its case and white space."""
    wanted = sorted({one for one in names if one.split()}, key=lambda one: (-len(one), one))
    if not wanted:
        return Markup("{}").format(text)
    pattern = "|".join(r"\s+".join(map(re.escape, one.split())) for one in wanted)
    parts = re.split(rf"(?<!\w)({pattern})(?!\w)", text, flags=re.IGNORECASE)
    return Markup("").join(
        Markup("<mark>{}</mark>").format(part) if place % 2 else Markup("{}").format(part)
        for place, part in enumerate(parts)
    )


def paths_found(collection: str, found: PathOut) -> Markup:
    """Return the paths between two names, with what proves each step."""
    if not found.paths:
        return Markup('<p class="empty" role="status">{}: {}.</p>').format(
            f"No path from {found.source} to {found.target}", found.reason
        )
    lines = [
        Markup("<h3>{}</h3>{}<ol>{}</ol>").format(
            " → ".join([path[0].source, *(step.target for step in path)]),
            buttons(button("show-path", place, "Show in the picture", f"Show path {place + 1} in the picture")),
            Markup("").join(_step(collection, step) for step in path),
        )
        for place, path in enumerate(found.paths)
    ]
    more = Markup('<p class="faint">There are more paths.</p>') if found.cut else Markup("")
    return Markup("").join(lines) + more


def corrections_made(found: Sequence[CorrectionOut]) -> Markup:
    """Return corrections, the newest first, those that stand with a button to undo them."""
    kinds = {"active": "good", "undone": "plain", "forgotten": "plain"}
    rows = [
        (
            Markup('{}<div class="faint">{}</div>').format(tell_correction(one), one.reason),
            number(one.passages),
            badge(one.state, kinds.get(one.state, "plain")),
            Markup("{}<br>{}").format(one.made_by, moment(one.created_at)),
            button("undo", one.id, "Undo", f"Undo: {tell_correction(one)}")
            if one.state == "active"
            else Markup("{}<br>{}").format(one.undone_by, moment(one.undone_at))
            if one.undone_at
            else "",
        )
        for one in found
    ]
    columns = ("Correction", "Passages#", "State", "Made", "Undone")
    return table("Corrections", columns, rows, empty="Nothing was corrected in this collection.")


def tell_correction(one: CorrectionOut) -> str:
    """Return what a correction says in a sentence; of one that was forgotten, its kind."""
    what = one.what
    where = f" in {', '.join(what['documents'])}" if what.get("documents") else ""
    if one.kind == "merge" and what:
        return f"{', '.join(what['names'])} became {what['into']}"
    if one.kind == "split" and what:
        written = f", written {what['surface']}," if what.get("surface") else ""
        return f"{what['name']}{written} became {what['into']}{where}"
    if one.kind == "retract" and what:
        return f"not so{where}: {what['subject']} {what['predicate']} {what['object']}"
    return one.kind


def _step(collection: str, step: StepOut) -> Markup:
    told = Markup("").join(
        Markup("<p>{} <em>{}</em> {}</p>{}").format(
            one.subject, one.predicate, one.object, _snippets(collection, one.passages, step)
        )
        for one in step.facts
    )
    stated = {one.passage_id for fact in step.facts for one in fact.passages}
    rest = [one for one in step.passages if one.passage_id not in stated]
    shared = Markup("<p>Both stand in {}.</p>{}").format(_in_passages(step.shared), _snippets(collection, rest, step))
    return Markup("<li><strong>{}</strong> to <strong>{}</strong>{}{}</li>").format(
        step.source, step.target, told, shared if step.shared else ""
    )


def _snippets(collection: str, some: Sequence[SnippetOut], step: StepOut) -> Markup:
    return Markup("").join(
        Markup('<article class="passage"><header>{}</header><div class="text">{}</div></article>').format(
            link(one.title or one.document_id, url("c", collection, "passages", one.passage_id)),
            mark(one.snippet, (step.source, step.target)),
        )
        for one in some
    )


def _steps(phrase_id: int, name: str, is_open: bool) -> Markup:
    way = (
        button("collapse", phrase_id, "Collapse", f"Collapse {name}")
        if is_open
        else button("expand", phrase_id, "Expand", f"Expand {name}")
    )
    return buttons(way, button("remove", phrase_id, "Remove", f"Remove {name} from the picture"))


def _how(tie: TieOut) -> str:
    if tie.kind == "fact":
        return tie.predicate or ""
    return "stands in passages with" if tie.kind == "passage" else "is alike"


def _weight(tie: TieOut) -> Markup:
    return number(tie.weight * 100, "%") if tie.kind == "synonym" else number(int(tie.weight))


def _proof(tie: TieOut, name: dict[int, str]) -> Markup | str:
    if tie.kind != "fact" or tie.fact_id is None:
        return ""
    said = f"{name[tie.source]} {tie.predicate} {name[tie.target]}"
    return button("evidence", tie.fact_id, "Evidence", f"Evidence: {said}")


def _document(collection: str, document_id: str, title: str) -> Markup:
    return link(title or document_id, url("c", collection, "documents", document_id))


def _say(fact: FactOut) -> str:
    return f"{fact.subject.name} {fact.predicate} {fact.object.name}"


def _in_passages(count: int) -> str:
    return f"{count:,} passage{'' if count == 1 else 's'}"
