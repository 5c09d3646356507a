"""The ranker's weights are learned from questions, and scored on others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from evaluation.asked import KS, SUB_QUESTION, Asked, Scores, Taught
from evaluation.ranker_training import TrainingParams, fit_trees, look_at_all, train
from memory_graph.errors import InvalidInput
from retrieval.chain_ranking import rank_by_chains
from retrieval.chains import FEATURES, SECOND_FEATURES, ChainParams
from retrieval.graph_search import GraphParams
from retrieval.ranker import ChainRanker
from tests.unit.scenes import EMBEDDER, ask, view_of

lightgbm = pytest.importorskip("lightgbm", reason="the chain ranker cannot be trained here: pip install '.[bench]'")

SMALL = TrainingParams(folds=3, seeds=1, trees=12, leaves=4, learning_rate=0.3, least_in_leaf=4)
NARROW = GraphParams(seeds=20)


def _world(first: int, n: int) -> Taught:
    """Towers, each with a question that the passage on who drew it answers, though it speaks of bees alone."""
    passages, names, asked = [], [], []
    for number in range(first, first + n):
        place, person = f"Place{number}", f"Ada Quill{number}"
        passages += [
            ("", f"The tower of {place} was drawn by {person}."),
            (person, f"bees{number} and marsh{number}"),
            ("", f"nothing at all {number}"),
        ]
        names += [place, person]
        gold = (f"{3 * (number - first)}", f"{3 * (number - first) + 1}")
        asked.append(Asked(question=f"Who drew the tower of {place}?", gold_ids=gold, group=f"w/{number}", type="w"))
        asked.append(Asked(question=f"tower of {place}", gold_ids=gold[:1], group=f"w/{number}", type=SUB_QUESTION))
    view = view_of(passages, names)
    return Taught(name="w", view=view, document_of=[str(row) for row in range(len(passages))], questions=asked)


@pytest.fixture(scope="module")
def trained() -> tuple[ChainRanker, dict[str, Scores], list[tuple[str, float]]]:
    heard: list[tuple[str, float]] = []
    ranker, scores = train(
        [_world(0, 16), _world(100, 8)],
        EMBEDDER.encode,
        graph=NARROW,
        params=SMALL,
        progress=lambda stage, share: heard.append((stage, share)),
    )
    return ranker, {one.name: one for one in scores}, heard


def test_what_was_learned_finds_linked_passages_in_another_memory(
    trained: tuple[ChainRanker, dict[str, Scores], Any],
) -> None:
    ranker, other = trained[0], _world(500, 12)
    for asked in other.questions[::2]:
        found = rank_by_chains(ask(other.view, asked.question, NARROW), ranker, ChainParams(), EMBEDDER.encode)
        assert {str(row) for row in found.rows[:2]} == set(asked.gold_ids)


def test_every_way_is_scored_without_having_learned_the_question(
    trained: tuple[ChainRanker, dict[str, Scores], Any],
) -> None:
    scores = trained[1]
    assert list(scores) == ["dense", "walk", "one look", "two looks"]
    recall = {name: one.recall["w"][2].mean for name, one in scores.items()}
    assert recall["dense"] < 0.7 < 0.9 < recall["two looks"]
    for one in scores.values():
        assert set(one.recall) == {"w", SUB_QUESTION}
        for by_k in one.recall.values():
            assert set(by_k) == set(KS)
            assert by_k[2].mean <= by_k[5].mean <= by_k[10].mean


def test_progress_is_told(trained: tuple[Any, Any, list[tuple[str, float]]]) -> None:
    stages: dict[str, list[float]] = {}
    for stage, share in trained[2]:
        stages.setdefault(stage, []).append(share)
    assert set(stages) >= {"first look", "second look", "cross-validation"}
    assert all(shares == sorted(shares) and shares[-1] == 1.0 for shares in stages.values())


def test_training_again_gives_the_same(trained: tuple[ChainRanker, Any, Any]) -> None:
    again, _ = train([_world(0, 16), _world(100, 8)], EMBEDDER.encode, graph=NARROW, params=SMALL)
    assert again.to_json() == trained[0].to_json()


@pytest.mark.parametrize("seed", range(5))
def test_folds_never_split_a_group(seed: int) -> None:
    params = TrainingParams(folds=4)
    examples = look_at_all([_world(0, 10)], EMBEDDER.encode, NARROW, ChainParams(), params, lambda *_: None, seed)
    folds: dict[str, set[int]] = {}
    for one in examples:
        folds.setdefault(one.asked.group, set()).add(one.fold)
    assert len(examples) == 20
    assert all(len(found) == 1 for found in folds.values())
    sizes = np.bincount([next(iter(found)) for found in folds.values()], minlength=4)
    assert sorted(sizes.tolist()) == [2, 2, 3, 3]


def test_too_few_questions_are_refused() -> None:
    with pytest.raises(InvalidInput, match="3 folds"):
        train([_world(0, 2)], EMBEDDER.encode, params=SMALL)


def test_a_gold_document_without_passages_is_found_nowhere() -> None:
    world = _world(0, 6)
    lost = Asked(question="Who?", gold_ids=("empty",), group="w/lost", type="w")
    taught = Taught(name="w", view=world.view, document_of=world.document_of, questions=[*world.questions, lost])
    examples = look_at_all([taught], EMBEDDER.encode, NARROW, ChainParams(), SMALL, lambda *_: None, 0)
    assert examples[-1].gold.tolist() == []


@pytest.mark.parametrize("look", [1, 2])
def test_forests_are_those_of_lightgbm(monkeypatch: pytest.MonkeyPatch, look: int) -> None:
    chance, columns = np.random.default_rng(look), FEATURES if look == 1 else SECOND_FEATURES
    examples = []
    for _ in range(30):
        features = chance.normal(size=(20, len(columns))).round(9)
        features[:, 3] = chance.integers(0, 3, 20)
        gold = np.flatnonzero(features[:, 0] + features[:, 3] + 0.3 * chance.normal(size=20) > 2)
        asked = SimpleNamespace(type=SUB_QUESTION if len(examples) % 3 else "plain")
        examples.append(SimpleNamespace(described=lambda _, f=features: (np.arange(20), f), gold=gold, asked=asked))
    boosters = []
    train_once = lightgbm.train

    def remember(*given: Any, **named: Any) -> Any:
        boosters.append(train_once(*given, **named))
        return boosters[-1]

    monkeypatch.setattr(lightgbm, "train", remember)
    trees = fit_trees(examples, look, TrainingParams(seeds=2, trees=20, least_in_leaf=5))
    assert len(boosters) == 2
    assert len(trees.roots) == 40
    features = np.concatenate([chance.normal(size=(300, len(columns))), examples[0].described(look)[1]])
    raw = np.mean([booster.predict(features, raw_score=True) for booster in boosters], axis=0)
    np.testing.assert_allclose(trees.predict(features), 1 / (1 + np.exp(-raw)), rtol=1e-9)
    assert np.ptp(raw) > 1


def test_forests_of_leaves_alone_know_nothing() -> None:
    """So few candidates that no tree can branch."""
    features = np.eye(3, len(SECOND_FEATURES))
    asked = SimpleNamespace(type="plain")
    examples = [SimpleNamespace(described=lambda _: (np.arange(3), features), gold=np.array([1]), asked=asked)]
    trees = fit_trees(examples, 2, TrainingParams(seeds=1, trees=3))
    assert len(trees.features) == 0
    assert len(set(trees.predict(features).tolist())) == 1
