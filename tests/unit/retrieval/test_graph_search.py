"""From the question's names, words and nearest passages to a walk, on graphs small enough to follow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from memory_graph.graph import Shares
from memory_graph.growing import Growing
from memory_graph.walk import WalkParams, power_iteration
from retrieval.graph_search import Base, GraphParams, best_rows, fuse, guard, walk_from
from retrieval.lexical import LexicalParams, Matches
from retrieval.scene import look, match_words
from retrieval.stages import Stages
from retrieval.view import View
from tests.unit.scenes import FIRST_PHRASE, ask, view_of

Rows = NDArray[np.int64]
NOBODY = np.zeros(0, dtype=np.int64)

# Passage 0 leads to 1 over Ada Quill, 1 to 2 over Bram Oster; 3 hangs on nothing.
TEXTS = [("", "Ada Quill slept."), ("", "Ada Quill met Bram Oster."), ("", "Bram Oster rowed."), ("", "it rained")]
CHAIN = view_of(TEXTS, ["Ada Quill", "Bram Oster"], vectors=np.eye(4, dtype=np.float32))


def _base(*similarities: float) -> Base:
    """Passages 0, 1, … as the best by themselves."""
    scores = np.array(similarities)
    return Base(np.arange(len(scores)), scores, np.zeros(len(scores)), 10 * scores)


def _phrases(*rows: int) -> Rows:
    return np.array(rows, dtype=np.int64)


def _masses(view: View, base: Base, phrases: Rows, params: GraphParams) -> tuple[dict[int, float], list[float]]:
    walked, passages, (rows, names) = walk_from(view, base, phrases, params)
    assert rows.tolist() == phrases.tolist()
    assert passages.sum() + names.sum() == pytest.approx(1.0)
    return dict(zip(walked.nodes.tolist(), walked.scores.tolist(), strict=True)), [*passages, *names]


def test_the_walk_reaches_passages_that_share_no_name_with_the_seed() -> None:
    scores, _ = _masses(CHAIN, _base(0.9), NOBODY, GraphParams())
    assert 3 not in scores
    assert scores[0] > scores[1] > scores[2] > 0


def test_the_reset_vector_is_shared_between_names_and_passages() -> None:
    _, masses = _masses(CHAIN, _base(0.9, 0.9), _phrases(0, 1), GraphParams(phrase_share=0.3))
    assert masses == pytest.approx([0.35, 0.35, 0.15, 0.15])
    _, alone = _masses(CHAIN, _base(0.9, 0.9), NOBODY, GraphParams(phrase_share=0.3))
    assert alone == pytest.approx([0.5, 0.5])


def test_a_rare_name_gets_more_than_a_common_one() -> None:
    texts = [("", "common"), ("", "common"), ("", "common"), ("", "rare"), ("", "x"), ("", "y")]
    view = view_of(texts, ["common", "rare"])
    _, masses = _masses(view, _base(0.9), _phrases(0, 1), GraphParams())
    assert masses[2] / masses[1] == pytest.approx(float(np.log(7 / 1.5) / np.log(7 / 3.5)))


@pytest.mark.parametrize("mode", ["push", "exact"])
def test_scores_are_those_of_the_walk(mode: str) -> None:
    params = GraphParams(phrase_share=0.2, walk=WalkParams(mode=mode))
    scores, masses = _masses(CHAIN, _base(0.9, 0.8), _phrases(0), params)
    assert masses == pytest.approx([0.8 / (1 + np.exp(-1)), 0.8 * np.exp(-1) / (1 + np.exp(-1)), 0.2])
    reset = np.zeros(6)
    reset[[0, 1, 4]] = masses
    expected = power_iteration(CHAIN.graph.transition(Shares()), reset, params.walk)
    found = np.array([scores.get(node, 0.0) for node in range(6)])
    np.testing.assert_allclose(found, expected, atol=1e-4 if mode == "push" else 1e-12)


def _query(*cosines: float) -> NDArray[np.float32]:
    return np.array(cosines, dtype=np.float32)


def _matches(view: View, sums: list[float]) -> Matches:
    values = np.array(sums)
    order = np.argsort(-values, kind="stable")
    return Matches(order[values[order] > 0], values, np.zeros(0, dtype=np.uint32), np.zeros(0))


def test_vectors_and_words_are_weighed_together() -> None:
    found = fuse(CHAIN, _query(0.5, 0.25, 0, 0.125), np.array([0, 1]), _matches(CHAIN, [0, 2, 4, 0]), (20.0, 6.0))
    assert found.rows.tolist() == [0, 1, 2]
    assert found.cosines.tolist() == [0.5, 0.25, 0.0]
    assert found.lexical.tolist() == [0.0, 0.5, 1.0]
    assert found.scores.tolist() == [10.0, 8.0, 6.0]


def test_without_matching_words_vectors_decide() -> None:
    found = fuse(CHAIN, _query(0, 0.25, 0, 0.5), np.array([3, 1, 0, 2]), _matches(CHAIN, [0, 0, 0, 0]), (20.0, 6.0))
    assert found.rows.tolist() == [3, 1, 0, 2]  # 0 and 2 are equal and go by what they are called
    assert not found.lexical.any()


def test_equal_scores_go_by_what_passages_are_called() -> None:
    view = replace(CHAIN, orders=Growing.of(np.array([5, 2, 9, 1])))
    found = fuse(view, _query(0.5, 0.5, 0.5, 0.5), np.arange(4), _matches(view, [0, 0, 0, 0]), (1.0, 1.0))
    assert found.rows.tolist() == [3, 1, 0, 2]


def test_a_scene_holds_what_each_channel_found() -> None:
    scene = ask(CHAIN, "Did Ada Quill row?", query=_query(0, 0, 0, 1))
    assert scene.phrases.tolist() == [0]
    assert scene.dense.tolist() == [3, 0, 1, 2]
    assert set(scene.walked.tolist()) == {0, 1, 2, 3}
    assert scene.walked[0] == 3
    assert (np.diff(scene.walk_scores) <= 0).all()
    assert scene.similarities(np.array([3, 0])).tolist() == [1.0, 0.0]
    assert scene.phrase_idf == pytest.approx(CHAIN.graph.idf()[:1])


def test_a_scene_is_told_in_the_trace() -> None:
    stages = Stages()
    params = GraphParams(lexical=LexicalParams(common=1.0))
    look(CHAIN, _query(1, 0, 0, 0), "Ada Quill slept", np.array([0, 1]), params, stages)
    details = {stage.name: stage.detail for stage in stages.done}
    assert list(details) == ["lexical", "walk"]
    assert details["lexical"]["best"][0]["passage_id"] == 100
    walked = details["walk"]
    assert [one["phrase_id"] for one in walked["phrases"]] == [FIRST_PHRASE]
    assert [one["passage_id"] for one in walked["seeds"]] == [100, 101]
    assert walked["seeds"][0]["similarity"] == 1.0
    assert walked["seeds"][0]["lexical"] == 1.0
    assert sum(one["reset"] for one in (*walked["seeds"], *walked["phrases"])) == pytest.approx(1.0)
    assert (walked["mode"], walked["damping"]) == ("push", GraphParams().walk.damping)


def test_a_walk_without_a_known_name_starts_from_passages_alone() -> None:
    scene = ask(CHAIN, "Who slept?", query=_query(1, 0, 0, 0))
    assert not len(scene.phrases)
    assert not len(scene.phrase_idf)
    assert scene.walk_scores.sum() > 0


def test_words_are_matched_under_the_limits_given() -> None:
    scene = ask(CHAIN, "Ada Quill rained", query=_query(1, 0, 0, 0))
    stages = Stages()
    # Of four passages at most one may hold a word that is to tell something apart.
    found = match_words(CHAIN, scene.question, GraphParams(lexical=LexicalParams(common=0.25)), stages)
    assert found.rows.tolist() == [3]
    found = match_words(CHAIN, scene.question, GraphParams(lexical=LexicalParams(common=0.5)), stages)
    assert sorted(found.rows.tolist()) == [0, 1, 3]
    found = match_words(CHAIN, scene.question, GraphParams(seeds=2, lexical=LexicalParams(common=0.5)), stages)
    assert len(found.rows) == 2


@pytest.mark.parametrize(
    ("rows", "guarded", "expected"),
    [
        ([0, 1, 2, 3, 4, 5, 7, 8], [7, 8], [0, 1, 2, 7, 8, 3, 4, 5]),
        ([0, 1, 2, 3, 4, 5, 7, 8], [0, 8], [0, 1, 2, 3, 8, 4, 5, 7]),
        ([0, 1, 2, 3, 4, 5, 7, 8], [4, 8], [0, 1, 2, 4, 8, 3, 5, 7]),
        ([0, 1, 2, 3, 4, 5], [0, 1], [0, 1, 2, 3, 4, 5]),
        ([0, 1, 2, 3, 4, 5], [], [0, 1, 2, 3, 4, 5]),
        ([0, 1, 2, 3, 4, 5], [9], [0, 1, 2, 3, 9, 4, 5]),
        ([0, 9, 8], [9, 8], [0, 9, 8]),
    ],
)
def test_guarded_rows_stay_among_the_first_five(rows: list[int], guarded: list[int], expected: list[int]) -> None:
    found = guard(rows, guarded, 5)
    assert found == expected
    assert set(found[:5]) >= set(guarded)


def test_the_best_rows_are_in_order_and_ties_go_by_their_key() -> None:
    random = np.random.default_rng(0)
    rows, orders = random.permutation(200), random.permutation(1000)
    scores = random.integers(0, 20, 200) / 7 + random.random(200) * 1e-14
    score_of = dict(zip(rows.tolist(), scores.tolist(), strict=True))
    expected = sorted(rows.tolist(), key=lambda row: (-round(score_of[row], 12), orders[row]))
    for k in (1, 7, 60, 199, 200, 300):
        found, found_scores = best_rows(rows, scores, orders, k)
        assert found.tolist() == expected[:k]
        assert found_scores.tolist() == [score_of[row] for row in expected[:k]]
