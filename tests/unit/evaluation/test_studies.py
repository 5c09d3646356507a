"""What is left out changes a ranking, and only what is changed is told apart from the default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import pytest

from evaluation.ablations import COLUMNS, FULL_WALK, WALK_VARIANTS, ablate_ranker, ablate_walk
from evaluation.asked import KS, Asked, Taught
from evaluation.ranker_training import TrainingParams, cross_validate, fit_trees, look_at_all
from evaluation.remade import WITHOUT_SCAN, remake_views
from evaluation.sweep import SWEPT, change, default_of, sweep
from evaluation.variants import Embedded, Variant, embed_questions, rank, score_variant
from retrieval.chains import FEATURES, SECOND_FEATURES, ChainParams
from retrieval.graph_search import GraphParams
from retrieval.view import advance, empty_view
from tests.unit.scenes import EMBEDDER, commit_of

SMALL = TrainingParams(folds=3, seeds=1, trees=8, leaves=4, learning_rate=0.3, least_in_leaf=4)


@pytest.fixture(scope="module")
def taught() -> Taught:
    """Towers, each with a question that needs the passage on who drew it, though it speaks of bees alone."""
    passages, names, asked = [], [], []
    for number in range(12):
        place, person = f"Place{number}", f"Ada Quill{number}"
        passages += [("", f"The tower of {place} was drawn by {person}."), (person, f"bees{number}"), ("", "nothing")]
        names += [place, person]
        gold = (str(3 * number), str(3 * number + 1))
        asked.append(Asked(question=f"Who drew the tower of {place}?", gold_ids=gold, group=f"w/{number}", type="w"))
    changes = commit_of(passages, names)
    return Taught(
        name="w",
        view=advance(empty_view(), changes),
        document_of=[str(row) for row in range(len(passages))],
        questions=asked,
        remade=remake_views(changes),
    )


def _first(taught: Taught, variant: Variant) -> list[int]:
    (one,) = embed_questions([taught], EMBEDDER.encode)
    return rank(taught, taught.questions[0].question, one.vectors[0], variant)


def test_the_walk_reaches_what_nothing_else_does(taught: Taught) -> None:
    assert set(_first(taught, FULL_WALK)[:2]) == {0, 1}
    dense = _first(taught, Variant(name="d", ranking="dense"))
    assert (
        dense
        == taught.view.index.search(
            EMBEDDER.encode([taught.questions[0].question])[0], 200, ties=taught.view.orders.rows
        )[0].tolist()
    )
    for ranking in ("base", "hybrid", "dense"):
        assert _first(taught, Variant(name=ranking, ranking=ranking))[0] == 0  # type: ignore[arg-type]


def test_a_variant_may_search_a_view_that_was_remade(taught: Taught) -> None:
    """Nothing but the scan found the names of this memory, so that without it the walk goes nowhere."""
    walked = _first(taught, FULL_WALK)
    unscanned = _first(taught, Variant(name="u", view=WITHOUT_SCAN))
    base = _first(taught, Variant(name="b", ranking="base"))
    assert walked[1] == 1
    assert unscanned[1] != 1
    assert unscanned == base


def test_a_variant_is_scored_by_kind_of_question(taught: Taught) -> None:
    scores = score_variant(embed_questions([taught], EMBEDDER.encode), FULL_WALK)
    assert scores.name == "the walk"
    assert {kind: list(by_k) for kind, by_k in scores.values.items()} == {"w": list(KS)}
    assert scores.values["w"][2] == [1.0] * 12
    assert scores.recall["w"][2].n == 12


def test_the_walk_is_compared_with_itself_without_each_ingredient(taught: Taught) -> None:
    rows = ablate_walk([taught], EMBEDDER.encode)["w"]
    assert [one.name for one in rows] == [one.name for one in WALK_VARIANTS]
    assert rows[0].differences == {}
    by_vector = rows[-1]
    assert by_vector.recall[2].mean < rows[0].recall[2].mean
    assert by_vector.differences[2].mean == pytest.approx(by_vector.recall[2].mean - rows[0].recall[2].mean)


def test_every_ingredient_of_the_ranker_is_some_of_its_columns() -> None:
    for name, columns in COLUMNS.items():
        assert columns, name
        assert columns < set(SECOND_FEATURES), name
    assert len(set(COLUMNS.values())) == len(COLUMNS)
    # Nothing that a passage has from the words of the question alone is called a link, and the other way round.
    assert not COLUMNS["without the walk's scores"] & COLUMNS["without any link"]
    assert "bridge_gain" not in COLUMNS["without words"]
    links = [columns for name, columns in COLUMNS.items() if name.startswith("without links over")]
    assert len(frozenset().union(*links)) == sum(map(len, links)) == 3 * 7


def test_forests_do_not_ask_for_columns_that_were_left_out(taught: Taught) -> None:
    pytest.importorskip("lightgbm")
    examples = look_at_all([taught], EMBEDDER.encode, GraphParams(), ChainParams(), SMALL)
    cross_validate(examples, EMBEDDER.encode, ChainParams(), SMALL)
    whole = fit_trees(examples, 2, SMALL)
    used = {SECOND_FEATURES[column] for column in whole.features}
    assert used
    without = fit_trees(examples, 2, SMALL, frozenset(used))
    assert not used & {SECOND_FEATURES[column] for column in without.features}


def test_the_second_look_follows_what_is_thought_without_the_columns(taught: Taught) -> None:
    pytest.importorskip("lightgbm")
    examples = look_at_all([taught], EMBEDDER.encode, GraphParams(), ChainParams(), SMALL)
    cross_validate(examples, EMBEDDER.encode, ChainParams(), SMALL)
    known = [one.scores[1].copy() for one in examples]
    used = frozenset(FEATURES[column] for column in fit_trees(examples, 1, SMALL).features)
    cross_validate(examples, EMBEDDER.encode, ChainParams(), SMALL, without=used)
    thought = SECOND_FEATURES.index("first")
    for one, before in zip(examples, known, strict=True):
        assert not np.array_equal(one.scores[1], before)
        rows, features = one.described(2)
        there = np.isin(rows, one.described(1)[0])
        at = np.searchsorted(one.described(1)[0], rows[there])
        np.testing.assert_allclose(features[there, thought], one.scores[1][at], atol=1e-9)


def test_the_ranker_is_compared_with_itself_without_each_ingredient(taught: Taught) -> None:
    pytest.importorskip("lightgbm")
    heard: list[float] = []
    rows = ablate_ranker([taught], EMBEDDER.encode, SMALL, lambda _, share: heard.append(share))["w"]
    assert [one.name for one in rows] == [
        "the chain ranker",
        "without the second look",
        "without the guard",
        "without the rule for short questions",
        "without both",
        "with other random numbers",
        *COLUMNS,
    ]
    assert heard[-1] == 1.0
    assert all(set(one.differences) == set(KS) for one in rows[1:])
    for one in rows[1:]:
        for k in KS:
            assert one.differences[k].mean == pytest.approx(one.recall[k].mean - rows[0].recall[k].mean)


def test_each_parameter_is_tried_around_its_default(taught: Taught) -> None:
    known = {field.name for field in fields(GraphParams)} | {"damping"}
    for name, values in SWEPT.items():
        assert name in known
        assert default_of(name) in values
        assert list(values) == sorted(values)
        assert change(name, default_of(name)) == GraphParams()
        assert all(change(name, value) != GraphParams() for value in values if value != default_of(name))
    few = Taught(name="w", view=taught.view, document_of=taught.document_of, questions=_only(taught.questions, 2))
    shares: list[float] = []
    found = sweep([few], EMBEDDER.encode, lambda _, share: shares.append(share))
    assert [(one.parameter, one.value) for one in found] == [(n, v) for n, values in SWEPT.items() for v in values]
    assert sum(one.is_default for one in found) == len(SWEPT)
    defaults = [one.recall["w"][5] for one in found if one.is_default and one.parameter != "hybrid_weight"]
    assert len(set(defaults)) == 1
    assert shares[-1] == 1.0


def test_vectors_are_those_of_the_questions(taught: Taught) -> None:
    (one,) = embed_questions([taught], EMBEDDER.encode)
    assert isinstance(one, Embedded)
    np.testing.assert_array_equal(one.vectors[3], EMBEDDER.encode([taught.questions[3].question])[0])


def _only(questions: Sequence[Asked], n: int) -> list[Asked]:
    return list(questions)[:n]
