"""Ranking by pairs, and what a cross-encoder does before it has a model. The real one is in tests/integration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memory_graph.errors import ModelMissing
from memory_graph.types import Hit
from retrieval.cross_encoder import CrossEncoder, rank_by_pairs
from retrieval.testing import WordScorer


def _hits(*texts: str, title: str = "") -> list[Hit]:
    return [
        Hit(passage_id=10 + number, document_id=str(number), title=title, text=text, score=0.0, rank=number + 1)
        for number, text in enumerate(texts)
    ]


def test_hits_are_ranked_by_what_the_scorer_says_and_equal_ones_keep_their_order() -> None:
    hits = _hits("the wind rose", "the mill burned", "rain", "who burned the mill", "hail")
    found = rank_by_pairs(WordScorer(), "who burned the mill", hits)
    assert found.passage_ids == [13, 11, 10, 12, 14]
    assert found.scores == sorted(found.scores, reverse=True)
    assert found.scores[0] == pytest.approx(1 / (1 + np.exp(-6)))
    assert found.scores[-1] == pytest.approx(1 / (1 + np.exp(6)))
    assert found.detail["model"] == "words"
    assert found.detail["candidates"] == 5
    assert [(one["passage_id"], one["rank_before"]) for one in found.detail["best"]] == [
        (13, 4),
        (11, 2),
        (10, 1),
        (12, 3),
        (14, 5),
    ]


def test_beside_probabilities_the_logit_moves_the_log_odds() -> None:
    first, second = _hits("the wind rose", "the mill burned")  # the scorer's logits are -3 and 3
    hits = [replace(first, score=0.9), replace(second, score=0.6)]
    odds = np.log([0.9 / 0.1, 0.6 / 0.4])
    near = rank_by_pairs(WordScorer(), "the mill burned who", hits, beside=0.2)
    assert near.passage_ids == [10, 11]
    far = rank_by_pairs(WordScorer(), "the mill burned who", hits, beside=0.5)
    assert far.passage_ids == [11, 10]
    assert far.scores == pytest.approx([1 / (1 + np.exp(-odds[1] - 1.5)), 1 / (1 + np.exp(-odds[0] + 1.5))])
    certain = [replace(first, score=0.0), replace(second, score=1.0)]
    assert np.isfinite(rank_by_pairs(WordScorer(), "who", certain, beside=0.2).scores).all()


def test_title_and_text_are_read() -> None:
    scorer = WordScorer()
    rank_by_pairs(scorer, "who", [*_hits("It burned.", title="The mill"), *_hits("Rain.")])
    assert scorer.asked == [("who", ["The mill\nIt burned.", "Rain."])]


def test_nothing_is_ranked_as_nothing() -> None:
    found = rank_by_pairs(WordScorer(), "who", [])
    assert (found.passage_ids, found.scores, found.detail["candidates"], found.detail["best"]) == ([], [], 0, [])


def test_the_trace_tells_the_best_twenty() -> None:
    found = rank_by_pairs(WordScorer(), "who", _hits(*["rain"] * 25))
    assert (len(found.passage_ids), found.detail["candidates"], len(found.detail["best"])) == (25, 25, 20)


def test_the_model_is_looked_for_with_the_first_text_and_again_until_it_is_there() -> None:
    asked = []

    def find() -> Path:
        asked.append(1)
        raise ModelMissing("it is not there")

    scorer = CrossEncoder(find, name="absent", threads=1)
    assert scorer.score("who?", []).shape == (0,)
    assert asked == []
    for calls in (1, 2):
        with pytest.raises(ModelMissing, match="it is not there"):
            scorer.score("who?", ["nobody"])
        assert len(asked) == calls
