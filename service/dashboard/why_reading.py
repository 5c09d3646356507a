"""How what was found was read: the strategy's steps, its notes, the model's calls, and the time that all took."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from service.dashboard.markup import badge, milliseconds, number, table
from service.dashboard.why_names import Names
from service.dashboard.why_search import draw_bar

Stage = Mapping[str, Any]

STOPPED = {
    "steps": "all rounds were made",
    "failures": "too many notes were no better, or calls failed",
    "passages": "there were as many passages as may be read",
    "no_new_questions": "there was nothing more to ask",
    "no_new_passages": "a round found no passage that was not known",
    "no_passages": "nothing was found",
    "generator_failed": "the model failed",
}


def tell_steps(stages: Sequence[Stage], names: Names) -> Markup:
    """Tell what the strategy did between search and answer, in the order of time."""
    rows = [(what, said, milliseconds(float(one["ms"]))) for one in stages for what, said in _say(one, names)]
    return table("Steps of the strategy", ("Step", "What came of it", "Time#"), rows) if rows else Markup("")


def tell_notes(notes: Sequence[Mapping[str, Any]], stages: Sequence[Stage], names: Names) -> Markup:
    """Tell the notes as they grew, and why no further one was taken."""
    if not notes:
        return Markup("")
    lines = Markup("").join(
        Markup(
            '<li class="passage{}"><header>{}<span>{}</span></header><div class="text">{}</div><footer>{}</footer></li>'
        ).format(
            " cited" if note["kept"] else "",
            badge("kept", "good") if note["kept"] else badge("not better", "plain"),
            f"for: {note['question']}",
            note["text"] or "It held no fact that stands in its passages.",
            names.passages(note["passage_ids"]),
        )
        for note in notes
    )
    ended = next((one["detail"] for one in stages if one["name"] == "notes" and "stopped" in one["detail"]), None)
    why = Markup("")
    if ended is not None:
        steps, reason = ended.get("steps", 0), STOPPED.get(ended["stopped"], ended["stopped"])
        why = Markup("<p>It stopped after {} round{}: {}.</p>").format(steps, "" if steps == 1 else "s", reason)
    return Markup('<ol class="grown">{}</ol>{}').format(lines, why)


def tell_order(order: Sequence[int], names: Names) -> Markup:
    """Tell in which order the model read the passages."""
    if not order:
        return Markup("")
    return Markup("<ol>{}</ol>").format(
        Markup("").join(Markup("<li>{}</li>").format(names.passage(one)) for one in order)
    )


def tell_calls(stages: Sequence[Stage]) -> Markup:
    """Tell what the model was asked, and what that cost in tokens."""
    rows = []
    for stage in stages:
        detail = stage["detail"]
        spent = detail.get("usage") or detail.get("tokens") or detail.get("filter", {}).get("tokens") or detail
        if "prompt_tokens" not in spent and "error" not in detail:
            continue
        failed = detail.get("error")
        rows.append(
            (
                stage["name"],
                number(spent.get("prompt_tokens")),
                number(spent.get("cached_tokens")),
                number(spent.get("completion_tokens")),
                badge("failed", "bad") + Markup(" {}").format(failed) if failed else "",
            )
        )
    columns = ("Call", "Tokens read#", "Of them cached#", "Tokens written#", "")
    return table("What the model was asked", columns, rows) if rows else Markup("")


def tell_time(stages: Sequence[Stage]) -> Markup:
    """Tell the time by stage, as bars."""
    whole = sum(float(stage["ms"]) for stage in stages) or 1.0
    rows = [
        (stage["name"], milliseconds(float(stage["ms"])), draw_bar(float(stage["ms"]) / whole), _raw(stage["detail"]))
        for stage in stages
    ]
    return table("Time by stage", ("Stage", "Time#", "Share", "All that it noted"), rows, empty="No trace was kept.")


def _say(stage: Stage, names: Names) -> list[tuple[str, Markup | str]]:
    """Return what a stage is and what came of it, nothing for those that are told elsewhere."""
    name, detail = stage["name"], stage["detail"]
    if name == "auto":
        return [("Strategy chosen", f"{detail['strategy']}, order {detail['order']}: {detail['why']}")]
    if name == "warm_start" and "note" in detail:
        alike = f"{100 * detail['similarity']:.0f} % alike"
        return [("Begun with a kept note", f"note {detail['note']}, its question {alike}, {detail['facts']} facts")]
    if name == "thoughts" and detail.get("thoughts"):
        return [("Thoughts drawn", Markup("<br>").join(detail["thoughts"]))]
    if name == "search" and "question" in detail:
        found = f"{detail['found']} passages, {len(detail['new'])} new"
        return [
            ("Asked further", Markup("{}<br>{}<br>{}").format(detail["question"], found, names.passages(detail["new"])))
        ]
    if name == "check" and "kept" in detail:
        return [("Held against the passages", f"{detail['kept']} of {detail['listed']} stood there")]
    if name == "decision":
        doing = "read" if detail["read"] else "not read"
        return [("Memory needed?", f"yes with {100 * detail['probability']:.0f} %: it was {doing}")]
    if name == "candidate":
        said = Markup("{}: {}").format(names.passage(detail["passage_id"]), detail["answer"])
        return [("Answered from one passage", said)]
    if name == "score":
        parts = ", ".join(f"{part} {detail[part]:.2f}" for part in ("relevance", "support", "usefulness"))
        return [
            ("Scored", Markup("{}: {:.2f} ({})").format(names.passage(detail["passage_id"]), detail["score"], parts))
        ]
    if name == "answer" and detail.get("ungrounded_answer"):
        return [("Refused, since no passage carries it", detail["ungrounded_answer"])]
    return []


def _raw(detail: Mapping[str, Any]) -> Markup:
    if not detail:
        return Markup("")
    text = json.dumps(detail, ensure_ascii=False, indent=1, default=str)
    return Markup("<details><summary>Show</summary><pre>{}</pre></details>").format(text)
