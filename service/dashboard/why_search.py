"""How the passages were found: ranks, facts, where the walk began, and chains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isclose
from typing import Any

from markupsafe import Markup

from service.dashboard.markup import badge, number, table
from service.dashboard.why_names import Names

Detail = Mapping[str, Any]
Hits = Sequence[Mapping[str, Any]]


def tell_ranks(hits: Hits, detail: Mapping[str, Detail], names: Names) -> Markup:
    """Put the place of each hit beside those that it had by vector, by words and by the walk alone."""
    told = {one["passage_id"]: one for one in detail.get("flow", {}).get("places", ())}
    best = {name: _places(detail.get(name, {}).get("best", ())) for name in ("dense", "lexical")}
    flow = {one["passage_id"]: one["mass"] for one in detail.get("flow", {}).get("hits", ())}
    rows = []
    for hit in hits:
        one = hit["passage_id"]
        places = [
            _place(told[one][name]) if one in told else _place_among(best[name], one)
            for name in ("dense", "lexical", "walk")
            if one in told or (name in best and not told)  # else it came from a further search
        ]
        places += [number(None)] * (3 - len(places))
        mass = number(round(100 * flow[one], 2), "%") if one in flow else number(None)
        score = Markup('<span class="number">{:.4f}</span>').format(float(hit["score"]))
        rows.append((number(hit["rank"]), names.passage(one), score, *places, mass))
    columns = ("Rank#", "Passage", "Score#", "By vector#", "By words#", "By the walk#", "Of the walk's mass#")
    return table("How the passages ranked", columns, rows, empty="Nothing was found.")


def tell_facts(linked: Detail) -> Markup:
    """Tell which facts lie near the question, and which of them the filter dropped."""
    if not linked:
        return Markup("")
    rows = [
        (one["fact"] or f"fact {one['fact_id']}", number(round(100 * one["similarity"], 1), "%"), state)
        for name, state in (("facts", badge("linked", "good")), ("dropped", badge("dropped by the filter", "bad")))
        for one in linked.get(name, ())
    ]
    said = linked.get("filter")
    how = Markup("")
    if said:
        how = Markup("<p>The filter read {} facts and kept {}, in {:.0f} ms.{}</p>").format(
            said["shown"], said["kept"], said["ms"], f" It failed: {said['failed']}" if "failed" in said else ""
        )
    return how + table("Facts near the question", ("Fact", "Similarity#", ""), rows, empty="No fact is near it.")


def tell_reset(walk: Detail, names: Names) -> Markup:
    """Tell from which phrases and passages the walk began, and with how much."""
    if not walk:
        return Markup("")
    phrases = [(names.phrase(one), _by(one), _share(one["reset"])) for one in walk.get("phrases", ())]
    empty = "No name that the memory knows stands in the question: the walk began at passages alone."
    seeds: list[tuple[object, ...]] = [
        (
            names.passage(one["passage_id"]),
            number(round(100 * float(one["similarity"]), 1), "%"),
            number(round(100 * float(one["lexical"]), 1), "%"),
            _share(one["reset"]),
        )
        for one in walk.get("seeds", ())
        if one["reset"] >= 0.001
    ]
    listed = sum(one["reset"] for one in walk.get("seeds", ()) if one["reset"] >= 0.001)
    rest = sum(one["reset"] for one in walk.get("seeds", ())) - listed + walk.get("other_seeds", {}).get("reset", 0.0)
    if rest >= 0.0005:
        seeds.append((Markup('<span class="faint">all others together</span>'), "", "", _share(rest)))
    return table("Names that the walk began at", ("Name", "From", "Of its mass#"), phrases, empty=empty) + table(
        "Passages that the walk began at", ("Passage", "Similarity#", "Words#", "Of its mass#"), seeds
    )


def tell_chains(hits: Hits, chain: Detail, names: Names) -> Markup:
    """Tell over which names the chain ranker came to the hits."""
    shown = {hit["passage_id"] for hit in hits}
    rows = [
        (names.passage(one["from_passage_id"]), names.phrase(one), one["over"], names.passage(one["passage_id"]))
        for one in chain.get("chains", ())
        if one["passage_id"] in shown
    ]
    return table("Chains", ("From", "Through the name", "Which is", "To"), rows) if rows else Markup("")


def _by(phrase: Mapping[str, Any]) -> str:
    by_facts = phrase.get("by_facts", 0.0)
    if not by_facts:
        return "question"
    return "facts" if isclose(by_facts, phrase["reset"]) else "question and facts"


def _places(best: Hits) -> dict[int, int]:
    return {one["passage_id"]: place for place, one in enumerate(best, start=1)}


def _place(place: int | None) -> Markup:
    return number(place) if place is not None else Markup('<span class="faint">not found</span>')


def _place_among(places: Mapping[int, int], passage_id: int) -> Markup:
    """Return a place, or that it was below the last one that the trace holds."""
    return number(places[passage_id]) if passage_id in places else Markup("{}").format(f"below {len(places)}")


def _share(mass: float) -> Markup:
    return draw_bar(mass) + number(round(100 * mass, 1), "%")


def draw_bar(share: float) -> Markup:
    """Return a bar as long as a share (0 to 1)."""
    return Markup('<div class="bar" aria-hidden="true"><span style="width:{:.1f}%"></span></div>').format(100 * share)
