"""Why an answer came out as it did: a trace in words and tables, stage by stage."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from service.dashboard.markup import link, number, table, url

SHOWN_SEEDS = 10
Stage = Mapping[str, Any]
Name = Callable[[int], Markup]


def explain(trace: Mapping[str, Any], collection: str, titles: Mapping[int, str]) -> Markup:
    """Return the parts of a trace that say why; ``titles`` names passages by id, as far as they are known."""

    def name(passage_id: int) -> Markup:
        return link(titles.get(passage_id) or f"passage {passage_id}", url("c", collection, "passages", passage_id))

    stages: list[Stage] = trace.get("stages", [])
    detail = {stage["name"]: stage["detail"] for stage in stages}
    parts = [
        ("How the passages ranked", _ranks(trace.get("hits", []), detail, name)),
        ("Phrases that the question names", _phrases(detail.get("walk", {}))),
        ("Where the walk began", _seeds(detail.get("walk", {}), name)),
        ("Chains that led from passage to passage", _chains(trace.get("hits", []), detail.get("chain", {}), name)),
        ("The order that the model read", _order(trace.get("order", []), name)),
        ("Time by stage", _stages(stages)),
    ]
    return Markup("").join(Markup("<h2>{}</h2>{}").format(title, html) for title, html in parts if html)


def seen_passages(trace: Mapping[str, Any]) -> list[int]:
    """Return the ids of the passages that an explanation names, the hits first."""
    detail = {stage["name"]: stage["detail"] for stage in trace.get("stages", [])}
    hits = [hit["passage_id"] for hit in trace.get("hits", [])]
    seeds = [seed["passage_id"] for seed in detail.get("walk", {}).get("seeds", [])[:SHOWN_SEEDS]]
    leads = [
        chain["from_passage_id"] for chain in detail.get("chain", {}).get("chains", []) if chain["passage_id"] in hits
    ]
    return list(dict.fromkeys([*hits, *trace.get("order", []), *seeds, *leads]))


def _ranks(hits: Sequence[Mapping[str, Any]], detail: Mapping[str, Any], name: Name) -> Markup:
    """Put the place of each hit beside those that it had by vector and by words alone."""
    dense = _places(detail.get("dense", {}).get("best", []))
    lexical = _places(detail.get("lexical", {}).get("best", []))
    rows = [
        (
            number(hit["rank"]),
            name(hit["passage_id"]),
            number(float(hit["score"])),
            _place(dense, hit["passage_id"]),
            _place(lexical, hit["passage_id"]),
        )
        for hit in hits
    ]
    columns = ("Rank#", "Passage", "Score#", "By vector#", "By words#")
    return table("How the passages ranked", columns, rows, empty="Nothing was found.")


def _phrases(walk: Mapping[str, Any]) -> Markup:
    rows = [(one["phrase"], _share(one["reset"])) for one in walk.get("phrases", [])]
    empty = "None that the memory knows: the walk began at passages alone."
    return (
        table("Phrases of the question", ("Phrase", "Of the walk's mass#"), rows, empty=empty) if walk else Markup("")
    )


def _seeds(walk: Mapping[str, Any], name: Name) -> Markup:
    rows = [
        (
            name(one["passage_id"]),
            number(round(100 * float(one["similarity"]), 1), "%"),
            number(round(100 * float(one["lexical"]), 1), "%"),
            _share(one["reset"]),
        )
        for one in walk.get("seeds", [])[:SHOWN_SEEDS]
    ]
    columns = ("Passage", "Similarity#", "Words#", "Of the walk's mass#")
    return table("Where the walk began", columns, rows) if rows else Markup("")


def _chains(hits: Sequence[Mapping[str, Any]], chain: Mapping[str, Any], name: Name) -> Markup:
    shown = {hit["passage_id"] for hit in hits}
    rows = [
        (name(one["from_passage_id"]), f"{one['phrase']} ({one['over']})", name(one["passage_id"]))
        for one in chain.get("chains", [])
        if one["passage_id"] in shown
    ]
    return table("Chains", ("From", "Through the phrase", "To"), rows) if rows else Markup("")


def _order(order: Sequence[int], name: Name) -> Markup:
    if not order:
        return Markup("")
    return Markup("<ol>{}</ol>").format(Markup("").join(Markup("<li>{}</li>").format(name(one)) for one in order))


def _stages(stages: Sequence[Stage]) -> Markup:
    whole = sum(float(stage["ms"]) for stage in stages) or 1.0
    rows = [
        (stage["name"], number(float(stage["ms"]), "ms"), _bar(float(stage["ms"]) / whole), _raw(stage["detail"]))
        for stage in stages
    ]
    return table("Time by stage", ("Stage", "Time#", "Share", "All that it noted"), rows, empty="No trace was kept.")


def _places(best: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    return {one["passage_id"]: place for place, one in enumerate(best, start=1)}


def _place(places: Mapping[int, int], passage_id: int) -> Markup:
    """Return a place, or that it was below the last one that the trace holds."""
    return number(places[passage_id]) if passage_id in places else Markup("{}").format(f"below {len(places)}")


def _share(mass: float) -> Markup:
    return _bar(mass) + number(round(100 * mass, 1), "%")


def _bar(share: float) -> Markup:
    return Markup('<div class="bar" aria-hidden="true"><span style="width:{:.1f}%"></span></div>').format(100 * share)


def _raw(detail: Mapping[str, Any]) -> Markup:
    if not detail:
        return Markup("")
    text = json.dumps(detail, ensure_ascii=False, indent=1, default=str)
    return Markup("<details><summary>Show</summary><pre>{}</pre></details>").format(text)
