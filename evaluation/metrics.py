"""The numbers: of one question by the published definitions, and of many with an interval."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import regex
from numpy.typing import ArrayLike, NDArray

from memory_graph.errors import InvalidInput

_DROPPED = regex.compile(r"[\p{P}\p{S}\p{Cf}]")
# Scripts written without spaces count by character, as white space says nothing there.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_TOKEN = regex.compile(rf"[{_UNSPACED}]\p{{M}}*|[^\s{_UNSPACED}]+")
_ARTICLES = frozenset({"a", "an", "the"})
_BLOCK = 1 << 20  # drawn values held at a time


@dataclass(frozen=True)
class Estimate:
    """A mean over ``n`` values with its 95 % interval, all in the unit of the values."""

    mean: float
    low: float
    high: float
    n: int


def recall_at_k(gold: Collection[str], ranked: Sequence[str], k: int) -> float:
    """Return the share of the ``gold`` ids among the first ``k`` of ``ranked``, which holds each id once, best first.

    Errors: ``InvalidInput`` for no gold ids or ``k`` below 1.
    """
    if k < 1:
        raise InvalidInput("k", "must be at least 1.")
    wanted = _check_gold(gold)
    return len(wanted.intersection(ranked[:k])) / len(wanted)


def reciprocal_rank(gold: Collection[str], ranked: Sequence[str]) -> float:
    """Return 1 / rank of the first gold id in ``ranked`` (best first, ranks from 1), and 0 where there is none.

    Its mean over questions is the mean reciprocal rank of the TREC-8 question answering track (Voorhees 1999).
    Errors: ``InvalidInput`` for no gold ids.
    """
    wanted = _check_gold(gold)
    return next((1 / rank for rank, id in enumerate(ranked, start=1) if id in wanted), 0.0)


def all_gold_at_k(gold: Collection[str], ranked: Sequence[str], k: int) -> float:
    """Return 1 if all ``gold`` ids are among the first ``k`` of ``ranked`` (best first, each id once), else 0.

    A question of several hops can be answered only from all of them. With more gold ids than ``k`` it is always 0.
    Its mean over questions is how multi-hop retrieval is scored by Baleen (Khattab et al. 2021, arXiv:2101.00436).
    Errors: ``InvalidInput`` for no gold ids or ``k`` below 1.
    """
    return float(recall_at_k(gold, ranked, k) == 1)


def ndcg_at_k(gold: Collection[str], ranked: Sequence[str], k: int) -> float:
    """Return the discounted gain of the first ``k`` of ``ranked`` (best first, each id once), as a share of the best.

    DCG@k = Σ gain(i) / log2(i + 1) over the ranks i = 1..k, the gain being 1 for a gold id and 0 for another; it is
    divided by the DCG@k of a ranking that puts the gold ids first. Source: Järvelin & Kekäläinen 2002 (ACM TOIS 20:4)
    with the discount of Burges et al. 2005, as trec_eval's ``ndcg_cut`` computes it.
    Errors: ``InvalidInput`` for no gold ids or ``k`` below 1.
    """
    if k < 1:
        raise InvalidInput("k", "must be at least 1.")
    wanted = _check_gold(gold)
    gained = math.fsum(1 / math.log2(rank + 1) for rank, id in enumerate(ranked[:k], start=1) if id in wanted)
    return gained / math.fsum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(wanted)) + 1))


def tokenize_answer(text: str) -> list[str]:
    """Split an answer into the tokens that are compared.

    After the evaluation of SQuAD (Rajpurkar et al. 2016, arXiv:1606.05250): lower case, no punctuation, no English
    articles, split at white space. Unicode takes the place of ASCII: NFKC and case folding, the categories P, S and
    Cf dropped, and scripts without spaces split into characters as in MLQA (Lewis et al. 2020, arXiv:1910.07475).
    Where nothing would be left ("A", "+"), the articles stay, then the punctuation.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    tokens: list[str] = _TOKEN.findall(_DROPPED.sub("", folded))
    return [token for token in tokens if token not in _ARTICLES] or tokens or folded.split()


def exact_match(answer: str, answers: Sequence[str]) -> float:
    """Return 1 if ``answer`` has the tokens of one of the accepted ``answers`` in their order, else 0.

    Source: SQuAD's exact match, on the tokens of ``tokenize_answer``. Errors: ``InvalidInput`` for empty answers.
    """
    said = tokenize_answer(answer)
    return float(any(said == gold for gold in _check_answers(answers)))


def token_f1(answer: str, answers: Sequence[str]) -> float:
    """Return the best harmonic mean of token precision and recall of ``answer`` against one of ``answers``.

    Source: SQuAD's F1, on the tokens of ``tokenize_answer``; a token counts as often as it occurs in both.
    Errors: ``InvalidInput`` for empty answers.
    """
    said = Counter(tokenize_answer(answer))
    best = 0.0
    for tokens in _check_answers(answers):
        common = (said & Counter(tokens)).total()
        if common:
            # 2PR / (P + R) with P = common / said and R = common / gold.
            best = max(best, 2 * common / (said.total() + len(tokens)))
    return best


def contains_answer(answer: str, answers: Sequence[str]) -> float:
    """Return 1 if the tokens of one of ``answers`` stand in ``answer`` one after the other, else 0.

    Whole tokens: "211" does not stand in "2112". Errors: ``InvalidInput`` for empty answers.
    """
    said = tokenize_answer(answer)
    return float(
        any(
            said[start : start + len(gold)] == gold
            for gold in _check_answers(answers)
            for start in range(len(said) - len(gold) + 1)
        )
    )


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean; errors: ``InvalidInput`` for no values."""
    if not len(values):
        raise InvalidInput("values", "are empty and have no mean.")
    return math.fsum(values) / len(values)


def bootstrap_interval(
    values: Sequence[float], *, seed: int = 0, samples: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Return the interval in which the mean of ``values`` lies at ``level``, in the unit of the values.

    The percentile bootstrap (Efron & Tibshirani 1993, chapter 13): ``samples`` times as many values are drawn with
    replacement as there are; the quantiles of their means are the ends. ``values`` are one a question, (n,). Where
    all are equal the interval has no width, however few they are. Errors: ``InvalidInput`` for no values, no samples
    or a level outside (0, 1).
    """
    if samples < 1:
        raise InvalidInput("samples", "must be at least 1.")
    if not 0 < level < 1:
        raise InvalidInput("level", "must lie between 0 and 1.")
    data = np.asarray(values, dtype=np.float64)
    if not data.size:
        raise InvalidInput("values", "are empty and have no interval.")
    generator = np.random.default_rng(seed)
    rows = max(1, _BLOCK // data.size)
    means: NDArray[np.float64] = np.concatenate(
        [
            data[generator.integers(0, data.size, size=(min(rows, samples - start), data.size))].mean(axis=1)
            for start in range(0, samples, rows)
        ]
    )
    low, high = _find_quantiles(means, [(1 - level) / 2, (1 + level) / 2])
    return low, high


def estimate_mean(values: Sequence[float]) -> Estimate | None:
    """Return the mean with its 95 % interval, or None where there are no values."""
    if not len(values):
        return None
    low, high = bootstrap_interval(values)
    return Estimate(mean=mean(values), low=low, high=high, n=len(values))


def estimate_difference(values: Sequence[float], against: Sequence[float]) -> Estimate:
    """Return the mean of ``values`` - ``against`` with its 95 % interval; both are one a question, (n,), in one order.

    The paired bootstrap (Efron & Tibshirani 1993, chapter 8; Koehn 2004 for comparing systems): questions are drawn,
    and with each its two values, so that what makes a question easy or hard for both cancels.
    Errors: ``InvalidInput`` for no values, or not as many in both.
    """
    if len(values) != len(against):
        raise InvalidInput("against", f"has {len(against)} values, not {len(values)}: there must be one a question.")
    estimate = estimate_mean([value - other for value, other in zip(values, against, strict=True)])
    if estimate is None:
        raise InvalidInput("values", "are empty and have no difference.")
    return estimate


def find_median_and_p95(values: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 95th percentile, linear between values; errors: ``InvalidInput`` for no values."""
    if not len(values):
        raise InvalidInput("values", "are empty and have no median.")
    median, p95 = _find_quantiles(values, [0.5, 0.95])
    return median, p95


def _find_quantiles(values: ArrayLike, shares: list[float]) -> list[float]:
    return [float(value) for value in np.quantile(np.asarray(values, dtype=np.float64), shares)]


def _check_gold(gold: Collection[str]) -> set[str]:
    if not gold:
        raise InvalidInput("gold", "is empty: such a question has no retrieval score.")
    return set(gold)


def _check_answers(answers: Sequence[str]) -> list[list[str]]:
    tokens = [tokenize_answer(answer) for answer in answers]
    if not tokens or not all(tokens):
        raise InvalidInput("answers", "are empty: there is no right answer to compare with.")
    return tokens
