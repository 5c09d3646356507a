"""How well questions are answered: right, proven, and declined where the documents do not say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any, TypeAlias

from evaluation.datasets import Dataset, Question
from evaluation.metrics import (
    Estimate,
    contains_answer,
    estimate_mean,
    exact_match,
    find_median_and_p95,
    token_f1,
)
from memory_graph.errors import InvalidInput
from memory_graph.types import Usage


@dataclass(frozen=True)
class Answered:
    """What came back for one question, reduced to what is scored."""

    answer: str
    found: bool
    """Whether an answer was given; false when it was declined."""
    cited: Sequence[tuple[str, bool]]
    """(document id, supported) of each citation."""
    quotes_hold: bool
    """Whether the quote of every citation occurs in its passage."""
    fallback_reason: str | None
    seconds: float
    usage: Usage = field(default_factory=Usage)
    """What the model was asked for this question, in all its calls."""
    model_seconds: float = 0.0
    """Those of ``seconds`` in which the model was waited for."""


Ask: TypeAlias = Callable[[str], Awaitable[Answered]]


@dataclass(frozen=True, kw_only=True)
class QaRow:
    """One question with its verdicts; a verdict is None where it does not apply.

    ``exact_match``, ``f1`` and ``contains_answer`` apply to answerable questions and are 0 where it was declined;
    ``citations_hold`` applies to given answers, ``cites_gold`` to those for questions with gold documents.
    """

    id: str
    question: str
    type: str
    expected: tuple[str, ...]
    gold_ids: tuple[str, ...]
    answer: str
    found: bool
    cited: tuple[tuple[str, bool], ...]
    exact_match: float | None
    f1: float | None
    contains_answer: float | None
    citations_hold: bool | None
    cites_gold: bool | None
    fallback_reason: str | None
    seconds: float
    usage: Usage
    model_seconds: float


@dataclass(frozen=True, kw_only=True)
class TypeScores:
    """The scores of the answerable questions of one type, in 0..1."""

    exact_match: Estimate
    f1: Estimate
    contains_answer: Estimate


@dataclass(frozen=True, kw_only=True)
class QaReport:
    """Answer scores in 0..1, each with the number of questions it is a mean of; None where that would be 0."""

    dataset: str
    n_questions: int
    """Questions asked: all but those with gold documents and no answers, which score retrieval only."""
    exact_match: Estimate | None
    f1: Estimate | None
    contains_answer: Estimate | None
    by_type: Mapping[str, TypeScores]
    citations_hold: Estimate | None
    """Of the given answers: every quote occurs in its passage, and a citation is supported."""
    cites_gold: Estimate | None
    """Of the answers given to questions with gold documents: one of these is cited."""
    declined_correctly: Estimate | None
    """Of the unanswerable questions."""
    declined_wrongly: Estimate | None
    """Of the answerable questions."""
    fallbacks: Mapping[str, int]
    """Answers by the code of their fallback reason, the most frequent first."""
    seconds_median: float
    seconds_p95: float
    calls_mean: float
    prompt_tokens_mean: float
    completion_tokens_mean: float
    own_ms_median: float
    """Milliseconds a question of everything but the model."""
    rows: tuple[QaRow, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the report as what ``json.dumps`` takes, rows included."""
        return asdict(self)


async def evaluate_answers(dataset: Dataset, ask: Ask) -> QaReport:
    """Ask the questions one after the other and score the replies.

    Errors: whatever ``ask`` raises, and ``InvalidInput`` for a set in which no question can be scored.
    """
    rows = [
        _judge(question, await ask(question.question))
        for question in dataset.questions
        if question.answers or question.unanswerable
    ]
    if not rows:
        raise InvalidInput("questions", f"none of {dataset.name!r} has answers: answering cannot be scored.")
    answerable = [row for row in rows if row.expected]
    unanswerable = [row for row in rows if not row.expected]
    types = dict.fromkeys(row.type for row in answerable)
    median, p95 = find_median_and_p95([row.seconds for row in rows])
    return QaReport(
        dataset=dataset.name,
        n_questions=len(rows),
        exact_match=_estimate(row.exact_match for row in answerable),
        f1=_estimate(row.f1 for row in answerable),
        contains_answer=_estimate(row.contains_answer for row in answerable),
        by_type={
            type: scores for type in types if (scores := _score_type([row for row in answerable if row.type == type]))
        },
        citations_hold=_estimate(row.citations_hold for row in rows),
        cites_gold=_estimate(row.cites_gold for row in rows),
        declined_correctly=_estimate(not row.found for row in unanswerable),
        declined_wrongly=_estimate(not row.found for row in answerable),
        fallbacks=_count_fallbacks(rows),
        seconds_median=median,
        seconds_p95=p95,
        calls_mean=fmean(row.usage.calls for row in rows),
        prompt_tokens_mean=fmean(row.usage.prompt_tokens for row in rows),
        completion_tokens_mean=fmean(row.usage.completion_tokens for row in rows),
        own_ms_median=find_median_and_p95([(row.seconds - row.model_seconds) * 1000 for row in rows])[0],
        rows=tuple(rows),
    )


def _judge(question: Question, answered: Answered) -> QaRow:
    given = answered.answer if answered.found else ""  # the words of a refusal earn nothing
    cited = {document_id for document_id, _ in answered.cited}
    supported = any(supported for _, supported in answered.cited)
    return QaRow(
        id=question.id,
        question=question.question,
        type=question.type,
        expected=question.answers,
        gold_ids=question.gold_ids,
        answer=answered.answer,
        found=answered.found,
        cited=tuple(answered.cited),
        exact_match=exact_match(given, question.answers) if question.answers else None,
        f1=token_f1(given, question.answers) if question.answers else None,
        contains_answer=contains_answer(given, question.answers) if question.answers else None,
        citations_hold=answered.quotes_hold and supported if answered.found else None,
        cites_gold=not cited.isdisjoint(question.gold_ids) if answered.found and question.gold_ids else None,
        fallback_reason=answered.fallback_reason,
        seconds=answered.seconds,
        usage=answered.usage,
        model_seconds=answered.model_seconds,
    )


def _score_type(rows: Sequence[QaRow]) -> TypeScores | None:
    match, f1 = _estimate(row.exact_match for row in rows), _estimate(row.f1 for row in rows)
    contains = _estimate(row.contains_answer for row in rows)
    return TypeScores(exact_match=match, f1=f1, contains_answer=contains) if match and f1 and contains else None


def _estimate(verdicts: Iterable[float | None]) -> Estimate | None:
    return estimate_mean([float(verdict) for verdict in verdicts if verdict is not None])


def _count_fallbacks(rows: Sequence[QaRow]) -> dict[str, int]:
    # A reason is "code: message", and messages differ where the cause is the same.
    codes = Counter(row.fallback_reason.partition(":")[0] for row in rows if row.fallback_reason is not None)
    return dict(codes.most_common())
