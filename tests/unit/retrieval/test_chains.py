"""What is known of passages and of the links that lead to them, on a memory small enough to follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from memory_graph.growing import Growing
from retrieval.chains import (
    FEATURES,
    LINK_KINDS,
    ChainParams,
    Links,
    ahead_of_others,
    choose_candidates,
    describe,
    find_links,
)
from retrieval.graph_search import GraphParams
from retrieval.scene import Scene
from retrieval.view import View
from tests.unit.scenes import ask, view_of

NOBODY = np.zeros(0, dtype=np.int64)

# The tower leads to the keeper over a title, to the ledger over a name, and to the family over the end of a title.
TOWER = ("Tessaly tower", "The tower of Tessaly was drawn by Maren Quill of Sorn Bay.")
KEEPER = ("Maren Quill", "Grew up among bees, by the marshes.")
LEDGER = ("", "Debts of Sorn Bay: eleven barrels.")
FAMILY = ("House of Sorn Bay", "Seven brothers.")
FILLERS = [("", f"filler number {number}") for number in range(8)]
MEMORY = [TOWER, KEEPER, LEDGER, FAMILY, *FILLERS]
NAMES = ["Tessaly", "Maren Quill", "Sorn Bay", "Tessaly tower"]
QUESTION = "What did the one who drew the tower of Tessaly grow up among?"
TOWER_ROW, KEEPER_ROW, LEDGER_ROW, FAMILY_ROW = range(4)


def _links(
    view: View, leads: Sequence[int], strengths: Sequence[float], params: ChainParams | None = None
) -> tuple[Scene, Links]:
    scene = ask(view, QUESTION)
    return scene, find_links(scene, np.array(leads), np.array(strengths), params or ChainParams())


def _reached(links: Links, kind: str) -> dict[int, tuple[int, int]]:
    """From a target to the lead and the name (places) of its strongest link of a kind."""
    table = links.tables[kind]
    columns = zip(links.targets.tolist(), table.leads.tolist(), table.over.tolist(), strict=True)
    return {target: (lead, over) for target, lead, over in columns if lead >= 0}


def _row(view: View, name: str) -> int:
    return view.names.find([name], NOBODY)[name]


@pytest.fixture(scope="module", params=[-1, 1, 3], ids=["settled", "one settled", "three settled"])
def view(request: pytest.FixtureRequest) -> View:
    return view_of(MEMORY, NAMES, settled=request.param)


def test_a_lead_leads_over_titles_their_ends_and_names(view: View) -> None:
    _, links = _links(view, [TOWER_ROW], [1.0])
    reached = {kind: _reached(links, kind) for kind in LINK_KINDS}
    assert {kind: set(found) for kind, found in reached.items()} == {
        "title": {KEEPER_ROW},
        "part": {FAMILY_ROW},
        "name": {KEEPER_ROW, LEDGER_ROW, FAMILY_ROW},
    }
    over = {
        kind: {target: links.phrases[name] for target, (_, name) in found.items()} for kind, found in reached.items()
    }
    assert over["title"][KEEPER_ROW] == _row(view, "maren quill")
    assert over["part"][FAMILY_ROW] == over["name"][LEDGER_ROW] == _row(view, "sorn bay")
    assert TOWER_ROW not in reached["name"]


def test_names_that_were_asked_for_lead_nowhere(view: View) -> None:
    _, links = _links(view, [TOWER_ROW], [1.0])
    assert _row(view, "tessaly") not in links.phrases
    assert links.covers.tolist() == [[True]]


def test_names_of_many_passages_lead_nowhere() -> None:
    texts = [*MEMORY, ("", "Sorn Bay again"), ("", "and again Sorn Bay")]
    view = view_of(texts, NAMES)
    _, few = _links(view, [TOWER_ROW], [1.0], ChainParams(rare=4))
    _, many = _links(view, [TOWER_ROW], [1.0], ChainParams(rare=5))
    assert LEDGER_ROW not in _reached(few, "name")
    assert LEDGER_ROW in _reached(many, "name")


@pytest.mark.parametrize("settled", [-1, 2, 5])
def test_titles_of_many_passages_lead_nowhere(settled: int) -> None:
    """As those of a book, whose passages all bear its title."""
    view = view_of([TOWER, *([KEEPER] * 5)], NAMES, settled=settled)
    _, few = _links(view, [0], [1.0], ChainParams(rare=4))
    _, many = _links(view, [0], [1.0], ChainParams(rare=5))
    assert not _reached(few, "title")
    assert set(_reached(many, "title")) == {1, 2, 3, 4, 5}


def test_a_title_leads_to_its_namesakes_and_not_to_itself() -> None:
    view = view_of([("Mercury (planet)", "Rocks."), ("Mercury (god)", "Wings."), *FILLERS], ["Mercury"])
    _, links = _links(view, [0], [1.0])
    assert set(_reached(links, "title")) == {1}
    assert not _reached(links, "name")


def test_the_strongest_lead_is_told(view: View) -> None:
    """The ledger and the family both lead to each other and to the tower over the bay."""
    _, links = _links(view, [LEDGER_ROW, TOWER_ROW], [0.1, 1.0])
    assert _reached(links, "name")[KEEPER_ROW][0] == 1
    assert _reached(links, "part")[FAMILY_ROW][0] == 1
    number = links.tables["name"].columns[:, 4]
    assert number[links.targets == FAMILY_ROW].tolist() == [2.0]
    assert number[links.targets == LEDGER_ROW].tolist() == [1.0]


def test_leads_that_are_equal_but_for_the_last_digit_are_equal() -> None:
    """The first of them is told, however a sum came out."""
    twins = [("", f"{place} holds the tower and Sorn Bay") for place in ("east", "west")]
    vectors = np.zeros((3, 256), dtype=np.float32)
    vectors[:, 0] = 1.0
    view = view_of([*twins, LEDGER], NAMES, vectors=vectors)
    query = np.eye(256, dtype=np.float32)[0]
    for leads in ([0, 1], [1, 0]):
        scene = ask(view, QUESTION, query=query)
        links = find_links(scene, np.array(leads), np.array([1.0 - 1e-15, 1.0]), ChainParams())
        assert _reached(links, "name")[2][0] == 0


def test_the_most_promising_names_are_titles_of_what_leads() -> None:
    view = view_of(MEMORY, NAMES)
    _, links = _links(view, [TOWER_ROW, LEDGER_ROW], [1.0, 0.5])
    scores = dict(zip(links.phrases.tolist(), links.scores.tolist(), strict=True))
    assert scores[_row(view, "maren quill")] > scores[_row(view, "sorn bay")] > 0
    lead_of = dict(zip(links.phrases.tolist(), links.lead_of.tolist(), strict=True))
    assert lead_of[_row(view, "sorn bay")] == 0


def test_candidates_are_the_best_of_each_channel() -> None:
    view = view_of(MEMORY, NAMES)
    scene, links = _links(view, [TOWER_ROW], [1.0])
    only = {"by_walk": 0, "by_base": 0, "by_links": 0}

    def chosen(also: Sequence[int] = (), allowed: np.ndarray | None = None, **params: int) -> list[int]:
        return choose_candidates(
            scene, links, ChainParams(**(only | params)), allowed, np.array(also, dtype=np.int64)
        ).tolist()

    assert chosen() == []
    assert chosen([7, 5]) == [5, 7]
    assert chosen(by_walk=2) == sorted(scene.walked[:2].tolist())
    assert chosen(by_base=3) == sorted(scene.base.rows[:3].tolist())
    assert chosen(by_links=1) == [KEEPER_ROW]
    assert chosen(by_links=100) == [KEEPER_ROW, LEDGER_ROW, FAMILY_ROW]
    allowed = np.zeros(len(MEMORY), dtype=bool)
    allowed[[LEDGER_ROW, 9]] = True
    # As many that may be returned, beside those that chains may lead over.
    assert chosen(by_links=1, allowed=allowed) == [KEEPER_ROW, LEDGER_ROW]


def _described(scene: Scene, links: Links, rows: Sequence[int]) -> dict[str, list[float]]:
    found = describe(scene, links, np.array(rows, dtype=np.int64))
    assert found.features.shape == (len(rows), len(FEATURES))
    assert np.isfinite(found.features).all()
    return dict(zip(FEATURES, found.features.T.tolist(), strict=True))


def test_passages_are_described(view: View) -> None:
    scene, links = _links(view, [TOWER_ROW, LEDGER_ROW], [1.0, 0.5])
    rows = [TOWER_ROW, KEEPER_ROW, LEDGER_ROW, FAMILY_ROW, 8]
    found = _described(scene, links, rows)
    assert found["cosine"] == pytest.approx(scene.similarities(np.array(rows)).tolist())
    best = float(scene.similarities(scene.dense[:1])[0])
    assert found["cosine_below_best"] == pytest.approx([one - best for one in found["cosine"]], abs=1e-8)
    assert found["dense_place"][0] == 0.0 == found["walk_place"][0]
    assert found["walk"][0] == 1.0
    assert found["lexical"][0] == 1.0
    assert found["lexical"][3] == 0.0
    assert found["covered"][0] > found["covered"][4]
    # Tessaly is asked for by name, and its tower in words; the whole title "Tessaly tower" is not.
    assert found["title_in_question"] == [0.0] * 5
    assert found["title_asked"] == [1.0, 0.0, 0.0, pytest.approx(1 / 4), 0.0]
    assert found["title_led"][1] == 1.0
    assert found["title_led"][0] == 0.0
    assert found["phrases_share"] == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert found["phrases_number"] == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert found["phrase_place"] == pytest.approx([0.0, *[np.log1p(200)] * 4])
    assert found["lead"] == [1.0, 0.0, 0.5, 0.0, 0.0]
    assert found["lead_place"] == pytest.approx([0.0, np.log1p(2), np.log1p(1), np.log1p(2), np.log1p(2)])
    assert found["title_strongest"][1] > 0 == found["title_strongest"][2]
    assert found["name_number"] == [1.0, 1.0, 1.0, 2.0, 0.0]
    # What the keeper's passage adds to the words that the tower's holds, and what both hold together.
    assert found["title_union"][1] == pytest.approx(found["title_gain"][1] + found["covered"][0])
    for channel in ("cosine", "lexical", "walk"):
        assert found[f"{channel}_lead"] == pytest.approx(ahead_of_others(np.array(found[channel])), abs=1e-8)
    assert found["like_leads"][0] < 1.0


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], []), ([3.0], [0.0]), ([1.0, 4.0, 2.0], [-3.0, 2.0, -2.0]), ([2.0, 2.0, 1.0], [0.0, 0.0, -1.0])],
)
def test_values_are_compared_with_the_best_of_the_others(values: list[float], expected: list[float]) -> None:
    assert ahead_of_others(np.array(values)).tolist() == expected


def test_names_back_to_a_lead_are_seen() -> None:
    view = view_of([TOWER, ("Maren Quill", "Bees, and the Tessaly tower."), *FILLERS], NAMES)
    scene, links = _links(view, [0], [1.0])
    found = _described(scene, links, [0, 1, 2])
    assert found["back_link"] == [0.0, 1.0, 0.0]
    assert found["back_links"] == [0.0, 1.0, 0.0]


def test_places_among_those_that_hold_a_name_go_by_what_they_are_called() -> None:
    """Passages of one text are equally near; which is first must not depend on when they were learned."""
    texts = [("", "Tessaly froze."), ("", "Tessaly froze."), *FILLERS]
    orders = []
    for keys in ([1, 2], [2, 1]):
        view = view_of(texts, NAMES)
        view = replace(view, orders=Growing.of(np.array([*keys, *range(3, 11)])))
        scene, links = _links(view, [0, 1], [1.0, 1.0])
        orders.append(_described(scene, links, [0, 1])["phrase_place"])
    assert orders[0] == orders[1][::-1] == pytest.approx([0.0, np.log1p(1)])


@pytest.mark.parametrize(
    "texts",
    [
        [("", "")],
        [("", "Tessaly")],
        [("", ""), ("", "?!"), ("Tessaly", "")],
        [("?!", "Tessaly and Sorn Bay"), ("", "Sorn Bay")],
        [("Sorn Bay", "")] * 3,
    ],
)
@pytest.mark.parametrize("question", [QUESTION, "", "?!", "nothing known"])
def test_sparse_memories_are_described_too(texts: list[tuple[str, str]], question: str) -> None:
    scene = ask(view_of(texts, NAMES), question)
    rows: Any = scene.walked
    links = find_links(scene, rows, scene.walk_scores / scene.walk_scores[0], ChainParams())
    for some in (rows[:0], np.sort(rows)):
        _described(scene, links, some)


def test_without_seeds_beyond_one_there_are_places_for_all() -> None:
    scene = ask(view_of(MEMORY, NAMES), QUESTION, GraphParams(seeds=1))
    links = find_links(scene, scene.walked[:1], np.ones(1), ChainParams())
    found = _described(scene, links, range(len(MEMORY)))
    assert found["dense_place"][1:] == pytest.approx([np.log1p(200)] * (len(MEMORY) - 1))
    assert min(found["walk"]) == 0.0
