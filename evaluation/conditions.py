"""Claims: how a question set is searched and which scores are expected of that, checked against what is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from evaluation.metrics import Estimate
from evaluation.report import SHOWN, label_measure
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
    """

    name: str
    set: str
    way: Way
    limit: int = 0
    tolerance: float
    expect: Mapping[str, float]

    @property
    def command(self) -> str:
        """The command that prints these scores, with the set's folder as it is named here."""
        options = {"mode": self.way.mode} | self.way.changed | ({"limit": self.limit} if self.limit else {})
        return " ".join(["sharpwave eval", self.set, *(f"--{name} {value}" for name, value in options.items())])


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
    """Measure the conditions set by set and yield a verdict for each; those of one set come together.

    A set is the folder of its name below the first of ``roots`` that has one; without one its conditions are SKIPPED.
    """
    for name in dict.fromkeys(condition.set for condition in conditions):
        of_set = [condition for condition in conditions if condition.set == name]
        folder = next((root / name for root in roots if (root / name).is_dir()), None)
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
        return f"{verdict.state:<8}{condition.name}: there is no folder {condition.set}"
    scores = []
    for measure, expected in condition.expect.items():
        right = f"not {expected:.1f}" if verdict.missed(measure) else f"{expected:.1f}"
        scores.append(f"{label_measure(measure)} {verdict.measured[measure].mean * 100:.2f} ({right})")
    return f"{verdict.state:<8}{condition.name}: {', '.join(scores)}, each ± {condition.tolerance:.1f}"


def make_markdown(conditions: Iterable[Condition]) -> str:
    """Return the expected scores as a Markdown table in per cent, one row a condition."""
    rows = [["condition", "set", "search", *(label_measure(measure) for measure in SHOWN), "±"]]
    rows.append(["---" if column < 3 else "---:" for column in range(len(rows[0]))])
    for condition in conditions:
        questions = f" ({condition.limit} questions)" if condition.limit else ""
        scores = [f"{condition.expect[one]:.1f}" if one in condition.expect else "–" for one in SHOWN]
        tolerance = f"{condition.tolerance:.1f}"
        rows.append([condition.name, condition.set + questions, condition.way.name, *scores, tolerance])
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


def _is_missed(condition: Condition, measure: str, measured: Estimate) -> bool:
    return abs(measured.mean * 100 - condition.expect[measure]) > condition.tolerance + _ROUNDING
