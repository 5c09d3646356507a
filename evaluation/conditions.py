"""Claims: how a question set is searched and which scores are expected of that, checked against what is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from evaluation.metrics import Estimate
from evaluation.report import SHOWN, label_measure, make_markdown_table
from evaluation.retrieval_eval import Scores
from evaluation.ways import Way
from memory_graph.errors import InvalidInput

State: TypeAlias = Literal["OK", "FAIL", "SKIPPED"]

_ROUNDING = 1e-9  # points: 61.5 - 61.0 is not exactly 0.5


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A claim: searched in this way, the questions of a set give these scores.

    ``set`` is the folder below a data root. ``expect`` has per cent by measure; a measured score may be ``tolerance``
    points above or below. With ``limit`` only so many questions are asked, drawn with a fixed seed; 0 asks all.
    ``openie`` is a file of entities and triples in the set's folder that are learned in place of what spaCy finds.
    """

    name: str
    set: str
    way: Way
    limit: int = 0
    openie: str = ""
    tolerance: float
    expect: Mapping[str, float]

    @property
    def command(self) -> str:
        """The command that prints these scores, with the set's folder as it is named here."""
        options: dict[str, Any] = {} if self.way.parity else {"mode": self.way.mode}
        options |= self.way.changed
        options |= {"limit": self.limit} if self.limit else {}
        options |= {"openie": f"{self.set}/{self.openie}"} if self.openie else {}
        told = (f"--{name}" if value is True else f"--{name} {value}" for name, value in options.items())
        return " ".join(["sharpwave eval", self.set, *told])

    @property
    def needed(self) -> str:
        """What must lie below a data root: the set's folder, or the file of triples in it."""
        return f"{self.set}/{self.openie}" if self.openie else self.set


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of a condition; ``measured`` has the scores in 0..1, none where the set was not found."""

    condition: Condition
    state: State
    measured: Scores = field(default_factory=dict)

    def missed(self, measure: str) -> bool:
        """Say whether this score is further from the expected one than the tolerance."""
        return _is_missed(self.condition, measure, self.measured[measure])

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as what ``json.dumps`` takes; scores are shares in 0..1, like those of a report."""
        condition = self.condition
        return {
            "name": condition.name,
            "state": self.state,
            "set": condition.set,
            "command": condition.command,
            "tolerance": condition.tolerance / 100,
            "scores": {
                measure: {
                    "expected": expected / 100,
                    "measured": self.measured[measure].mean if self.measured else None,
                    "ok": not self.missed(measure) if self.measured else None,
                }
                for measure, expected in condition.expect.items()
            },
        }


Measure: TypeAlias = Callable[[Path, Sequence[Condition]], Iterator[Scores]]
"""(folder of a set, the conditions on it) → the scores of each condition, in their order."""


def check_conditions(conditions: Sequence[Condition], roots: Sequence[Path], measure: Measure) -> Iterator[Verdict]:
    """Measure the conditions set by set and yield a verdict for each; those that learn the same come together.

    A set is the folder of its name below the first of ``roots`` that has one, with its file of triples where one is
    named; without one its conditions are SKIPPED.
    """
    for needed in dict.fromkeys(condition.needed for condition in conditions):
        of_set = [condition for condition in conditions if condition.needed == needed]
        name, openie = of_set[0].set, of_set[0].openie
        folders = [root / name for root in roots if (root / name).is_dir()]
        folder = next((one for one in folders if not openie or (one / openie).is_file()), None)
        if folder is None:
            yield from (Verdict(condition=condition, state="SKIPPED") for condition in of_set)
            continue
        for condition, scores in zip(of_set, measure(folder, of_set), strict=True):
            missed = any(_is_missed(condition, measured, scores[measured]) for measured in condition.expect)
            yield Verdict(condition=condition, state="FAIL" if missed else "OK", measured=scores)


def choose_conditions(conditions: Sequence[Condition], names: Iterable[str]) -> list[Condition]:
    """Return the conditions of these names, all where none is given; errors: ``InvalidInput`` for an unknown name."""
    wanted = list(names)
    known = [condition.name for condition in conditions]
    for name in wanted:
        if name not in known:
            raise InvalidInput("NAME", f"there is no condition {name!r}. There are: {', '.join(known)}.")
    return [condition for condition in conditions if not wanted or condition.name in wanted]


def describe_verdict(verdict: Verdict) -> str:
    """Write a verdict in one line: measured and, in brackets, expected, in per cent."""
    condition = verdict.condition
    if not verdict.measured:
        kind = "file" if condition.openie else "folder"
        return f"{verdict.state:<8}{condition.name}: there is no {kind} {condition.needed}"
    scores = []
    for measure, expected in condition.expect.items():
        right = f"not {expected:.1f}" if verdict.missed(measure) else f"{expected:.1f}"
        scores.append(f"{label_measure(measure)} {verdict.measured[measure].mean * 100:.2f} ({right})")
    return f"{verdict.state:<8}{condition.name}: {', '.join(scores)}, each ± {condition.tolerance:.1f}"


def make_markdown(conditions: Iterable[Condition]) -> str:
    """Return the expected scores as a Markdown table in per cent, one row a condition."""
    rows = [["condition", "set", "search", *(label_measure(measure) for measure in SHOWN), "±"]]
    for condition in conditions:
        questions = f" ({condition.limit} questions)" if condition.limit else ""
        triples = f", {condition.openie}" if condition.openie else ""
        scores = [f"{condition.expect[one]:.1f}" if one in condition.expect else "–" for one in SHOWN]
        tolerance = f"{condition.tolerance:.1f}"
        rows.append([condition.name, condition.set + triples + questions, condition.way.name, *scores, tolerance])
    return make_markdown_table(rows, texts=3)


def _is_missed(condition: Condition, measure: str, measured: Estimate) -> bool:
    return abs(measured.mean * 100 - condition.expect[measure]) > condition.tolerance + _ROUNDING
