"""The published ranking's parts, with numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memory_graph.types import Triple
from retrieval.parity import (
    Parity,
    ParityParams,
    index_triples,
    min_max,
    normalize_ascii,
    published_synonyms,
    weigh_phrases,
)

TRIPLES = [
    [Triple("Ada", "likes", "Bram"), Triple("ada!", "LIKES", "bram"), Triple("Ada", "is", "Ada")],
    [Triple("Bram", "likes", "Ada")],
    [],
]


def test_facts_are_indexed_once_and_relations_by_occurrence() -> None:
    index = index_triples(TRIPLES)
    assert index.phrases == ["ada", "bram"]
    assert index.facts == [("ada", "likes", "bram"), ("ada", "is", "ada"), ("bram", "likes", "ada")]
    assert index.fact_texts[0] == "('ada', 'likes', 'bram')"
    assert index.relations.toarray().tolist() == [[0, 3], [3, 0]]
    assert index.context.toarray().tolist() == [[1, 1], [1, 1], [0, 0]]


@pytest.mark.parametrize(
    ("text", "plain"), [("Ada's  Mill", "ada s  mill"), ("Zoë", "zo"), ("東京", ""), ("ÉTÉ 1843", "t  1843"), ("", "")]
)
def test_only_ascii_words_are_left(text: str, plain: str) -> None:
    assert normalize_ascii(text) == plain


def test_min_max_of_equal_scores_is_one() -> None:
    assert min_max(np.array([3.0, 3.0])).tolist() == [1.0, 1.0]
    assert min_max(np.array([1.0, 2.0, 5.0])).tolist() == [0.0, 0.25, 1.0]
    assert min_max(np.zeros(0)).tolist() == []


def test_a_phrase_weighs_the_mean_of_its_facts_over_its_passages() -> None:
    spread = np.array([4.0, 1.0, 2.0, 1.0])
    scores, subjects, objects = np.array([1.0, 0.5]), np.array([0, 0]), np.array([1, 2])
    assert weigh_phrases(scores, subjects, objects, spread, 5).tolist() == [0.75 / 4, 1.0, 0.5 / 2, 0.0]
    assert weigh_phrases(scores, subjects, objects, spread, 2).tolist() == [0.0, 1.0, 0.25, 0.0]


def test_synonyms_leave_long_phrases_alone() -> None:
    names, vectors = ["ada quill", "uk", "", "a quill"], np.tile([0.6, 0.8], (4, 1)).astype(np.float16)
    found = published_synonyms(names, vectors, ParityParams())
    assert {(names[i], names[j]) for i, j in zip(*found.nonzero(), strict=True)} == {
        ("ada quill", "uk"),
        ("ada quill", "a quill"),
        ("a quill", "ada quill"),
        ("a quill", "uk"),
    }
    assert published_synonyms(names, vectors, ParityParams(synonyms=1)).nnz == 2


def _ranking(**options: Any) -> Parity:
    triples = [
        [Triple("Ada Quill", "likes", "Bram Oster")],
        [Triple("Bram Oster", "lives in", "Dunmore")],
        [Triple("Ada Quills", "sings", "Low")],
    ]
    index = index_triples(triples)
    phrases = np.eye(8)[: len(index.phrases)]
    phrases[index.phrases.index("ada quills")] = [0.9, *np.zeros(6), np.sqrt(1 - 0.81)]
    return Parity(
        index,
        passages=np.eye(8, dtype=np.float32)[:3],
        fact_vectors=np.eye(8, dtype=np.float32)[: len(index.facts)],
        phrase_vectors=phrases.astype(np.float16),
        params=ParityParams(facts=1, **options),
    )


def test_synonyms_and_relations_lead_from_the_linked_fact() -> None:
    query = np.array([0.1, 0, 0, 0, 0, 0, 0, 1], dtype=np.float32)
    with_synonyms, without = _ranking().score(query), _ranking(threshold=2.0).score(query)
    assert with_synonyms[2] > without[2]
    assert _ranking().rank(query, 2).tolist() == [0, 1]
    assert with_synonyms[1] > 0


@pytest.mark.parametrize("options", [{"doubled": False}, {"specificity": False}, {"passage_weight": 0.5}])
def test_each_option_changes_the_scores(options: dict[str, Any]) -> None:
    query = np.array([0.5, 0.1, 0.2, 0, 0, 0, 0, 1], dtype=np.float32)
    assert not np.allclose(_ranking().score(query), _ranking(**options).score(query), rtol=1e-3)
