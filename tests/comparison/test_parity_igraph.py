"""Parity mode against a second implementation of HippoRAG 2's ranking, which walks with igraph."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from evaluation.igraph_parity import IgraphParity, plain, plain_facts
from memory_graph.types import Triple
from retrieval.parity import Parity, ParityParams, index_triples, normalize_ascii, published_synonyms
from retrieval.testing import HashEmbedder

pytest.importorskip("igraph", reason="the bench extra is not installed")

# Odd ones as models write them: two spellings of a name, self loops, short names, names that plain words erase.
NAMES = (
    *(f"Name {number}" for number in range(30)),
    "Ada Quill",
    "ada quill!",
    "Bram Oster",
    "Cora",
    "U2",
    "7",
    "東京",
    "Straße",
    "Lake Orrin",
)
VERBS = ("likes", "founded", "lies in", "is")


def random_triples(seed: int, n_passages: int) -> list[list[Triple]]:
    chance = random.Random(seed)
    return [
        [Triple(chance.choice(NAMES), chance.choice(VERBS), chance.choice(NAMES)) for _ in range(chance.randrange(6))]
        for _ in range(n_passages)
    ]


def clustered(seed: int, n: int, dim: int = 6) -> np.ndarray:
    """Return float16 unit vectors of which many are near each other."""
    chance = np.random.default_rng(seed)
    vectors = chance.normal(size=(3, dim))[chance.integers(0, 3, n)] + chance.normal(scale=0.35, size=(n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def both(triples: list[list[Triple]], vectors: np.ndarray, passages: np.ndarray) -> tuple[Parity, IgraphParity]:
    """Return both implementations over the same triples and vectors; facts and then phrases take rows of vectors."""
    index = index_triples(triples)
    fact_vectors, phrase_vectors = np.split(vectors[: len(index.facts) + len(index.phrases)], [len(index.facts)])
    ours = Parity(
        index,
        passages=passages.astype(np.float32),
        fact_vectors=fact_vectors.astype(np.float32),
        phrase_vectors=phrase_vectors,
    )
    theirs = IgraphParity(
        plain_facts([[(t.subject, t.predicate, t.object) for t in found] for found in triples]),
        passages=passages.astype(np.float32),
        fact_vectors=dict(zip(index.facts, fact_vectors, strict=True)),
        phrase_vectors=dict(zip(index.phrases, phrase_vectors, strict=True)),
    )
    return ours, theirs


@pytest.mark.parametrize("seed", range(10))
def test_rankings_agree_on_the_same_triples_and_vectors(seed: int) -> None:
    triples = random_triples(seed, 40)
    ours, theirs = both(triples, clustered(seed, 1000), clustered(seed + 100, 40))
    assert ours.index.relations.nnz > 20
    for query in clustered(seed + 200, 5).astype(np.float32):
        mine, other = ours.score(query), theirs.score(query)
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-9)
        assert ours.rank(query, 40).tolist() == np.argsort(-np.round(other, 12), kind="stable").tolist()


def test_synonyms_take_part_in_these_comparisons() -> None:
    index = index_triples(random_triples(3, 40))
    synonyms = published_synonyms(index.phrases, clustered(3, len(index.phrases)), ParityParams())
    assert synonyms.nnz > len(index.phrases)
    assert (synonyms != synonyms.T).nnz, "no short phrase was led to without leading anywhere"
    assert index.relations.multiply(synonyms).nnz, "no synonym took a relation's place"


@pytest.mark.parametrize("text", ["Ada  Quill's (1843)", "İstanbul", "東京タワー", " x_y-Z ", "ǅ", "é²"])
def test_names_are_made_plain_alike(text: str) -> None:
    assert normalize_ascii(text) == plain(text)


def test_without_facts_both_rank_by_the_question_alone() -> None:
    ours, theirs = both([[], []], clustered(0, 4), clustered(1, 2))
    query = clustered(2, 1)[0].astype(np.float32)
    np.testing.assert_allclose(ours.score(query), theirs.score(query))


SET = Path(__file__).parents[3] / "shared" / "data" / "musique_train100"


@pytest.mark.skipif(not SET.is_dir(), reason="there is no musique_train100 beside the repository")
def test_rankings_agree_on_triples_that_a_model_made() -> None:
    lines = [json.loads(line) for line in (SET / "openie.jsonl").read_text("utf-8").splitlines()[:300]]
    triples = [[Triple(*parts) for parts in line["triples"] if len(parts) == 3] for line in lines]
    index = index_triples(triples)
    embedder = HashEmbedder(64)
    vectors = embedder.encode([*index.fact_texts, *index.phrases]).astype(np.float16)
    passages = embedder.encode([" ".join(line["entities"]) or "nothing" for line in lines])
    ours, theirs = both(triples, vectors, passages)
    for query in embedder.encode([line["triples"][0][0] for line in lines[:10]]):
        np.testing.assert_allclose(ours.score(query), theirs.score(query), rtol=0, atol=1e-9)
