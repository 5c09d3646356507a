"""The laws of the read model, on random histories: what a view holds and answers follows from what lives.

(a) After any sequence of advancing, merging, saving, loading and crashing a view holds what a rebuild holds, exactly.
(b) On the exact path a search agrees with that of a rebuild, in the same order.
(c) The fast path stays within the bounds that it reports.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, insert, select

from memory_graph.corrections import Kind
from memory_graph.database import Database, upgrade_schema
from memory_graph.errors import NotFound
from memory_graph.store.correcting import list_corrections
from memory_graph.store.learning import LearnedDocument
from memory_graph.store.reading import Changes
from memory_graph.tables import corrections, originals
from memory_graph.walk import WalkParams
from retrieval.graph_search import GraphParams
from retrieval.index import IndexParams, PassageIndex
from retrieval.saved_views import SavedViews
from retrieval.search import Mode, Rerank, Searcher, SearchRequest
from retrieval.view import View, advance, compacted, empty_view
from retrieval.views import ViewCache
from tests.unit.factories import (
    EMBEDDER,
    SENTENCES,
    Step,
    commit_documents,
    content_of,
    correct,
    embed_names,
    forget_document,
    learn_document,
    new_collection,
    outcome,
    replay,
    undo_correction,
)
from tests.unit.rankers import random_ranker
from tests.unit.views import PassageNames, assert_up_to_date, canonical, fresh, passage_names

EXACT = GraphParams(walk=WalkParams(mode="exact", tolerance=1e-14, max_iterations=1000))
QUESTIONS = ("Who does Ada Quill like?", "What stood by Lake Orrin?", "rain", "Cora Finch and the Old Mill in Dunmore")
TITLES = ("", "Dunmore", "Cora Finch", "Lake Orrin (lake)", "The Orrin Mill")
RANKER = random_ranker(0)  # it looks at everything
HISTORIES = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
_number = count()


@dataclass(frozen=True)
class Memories:
    """A database where every example has collections of its own, and a folder for their saves."""

    database: Database
    folder: Path

    def collection(self) -> tuple[str, int]:
        name = f"memory-{next(_number)}"
        return name, new_collection(self.database, name).id

    def saves(self, name: str) -> SavedViews:
        return SavedViews(self.folder / name)


@pytest.fixture(scope="module")
def memories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memories]:
    folder = tmp_path_factory.mktemp("laws")
    database = Database(f"sqlite:///{folder / 'sharpwave.db'}")
    upgrade_schema(database)
    yield Memories(database, folder)
    database.close()


@st.composite
def written(draw: st.DrawFn, keys: str = "abcdef") -> LearnedDocument:
    """Return a document of few names, texts and titles, so that documents share all of them."""
    texts = draw(st.lists(st.sampled_from(SENTENCES), max_size=4))
    return learn_document(draw(st.sampled_from(keys)), *texts, title=draw(st.sampled_from(TITLES)))


@st.composite
def commits(draw: st.DrawFn) -> Step:
    """Return what one commit writes, then forgets."""
    write = draw(st.lists(written(), max_size=3, unique_by=lambda one: one.document.id))
    return Step(tuple(write), tuple(draw(st.lists(st.sampled_from("abcdef"), unique=True, max_size=2))))


NAMES = ("Ada Quill", "Bram Oster", "Cora Finch", "Old Mill", "The Old Mill", "Lake Orrin", "Dunmore", "Ada", "Mill")


@dataclass(frozen=True)
class Put:
    """A correction as a move of a history."""

    kind: Kind
    what: dict[str, Any]


@dataclass(frozen=True)
class Undo:
    """The undoing of one of the corrections that stand, by its place among them."""

    place: int


@st.composite
def puts(draw: st.DrawFn) -> Put:
    """Return a correction of names that may be there."""
    one, other, third = draw(st.permutations(NAMES))[:3]
    kind = draw(st.sampled_from(["merge", "split", "retract"]))
    keys = draw(st.none() | st.lists(st.sampled_from("abcdef"), min_size=1, max_size=3, unique=True))
    if kind == "merge":
        return Put("merge", {"names": draw(st.sampled_from([[one], [one, third]])), "into": other})
    if kind == "split":
        return Put("split", {"name": one, "into": other, "surface": None if keys else one, "documents": keys})
    return Put("retract", {"subject": one, "predicate": "likes", "object": other, "documents": keys})


def put(database: Database, cid: int, move: Put | Undo) -> None:
    """Make or undo a correction; what is not there cannot be corrected."""
    if isinstance(move, Put):
        with suppress(NotFound):
            correct(database, cid, move.kind, **move.what)
        return
    with database.read() as connection:
        standing = list_corrections(connection, cid, state="active", limit=1000)
    if standing:
        undo_correction(database, cid, standing[move.place % len(standing)].id)


def standing_in(database: Database, one: int, other: int) -> None:
    """Let the corrections of collection ``one`` stand in ``other``, before anything is learned there."""
    with database.write() as connection:
        rows = connection.execute(
            select(corrections).where(corrections.c.collection_id == one, corrections.c.state == "active")
        ).all()
        for row in sorted(rows, key=lambda row: row.id):
            values = {name: value for name, value in row._mapping.items() if name != "id"}
            connection.execute(insert(corrections).values(values | {"collection_id": other}))


CORRECTIONS = st.one_of(puts(), puts(), st.builds(Undo, st.integers(0, 9)))
OTHER_MOVES = ["advance", "merge", "save", "crash", "save and crash", "fork"]
MOVES = st.one_of(commits(), CORRECTIONS, st.sampled_from(OTHER_MOVES))


@settings(HISTORIES, max_examples=60)
@given(st.lists(MOVES, min_size=1, max_size=20))
def test_any_history_ends_in_the_content_of_a_rebuild(
    memories: Memories, history: list[Step | Put | Undo | str]
) -> None:
    database, (name, cid) = memories.database, memories.collection()
    saves, view = memories.saves(name), empty_view()
    older: list[tuple[View, PassageNames, dict[str, object]]] = []
    for move in [*history, "advance"]:
        if isinstance(move, Step):
            replay(database, cid, move)
            continue  # the view falls behind
        if not isinstance(move, str):
            put(database, cid, move)
            continue
        if move == "merge":
            view = compacted(view)
        elif "save" in move:
            saves.save(compacted(view))
        elif move == "fork" and older:  # as a saved view and the one in use both go on from one
            view = older[len(older) // 2][0]
        if "crash" in move:
            view = saves.newest() or empty_view()
        view = fresh(database, view, name)
        assert_up_to_date(view, database, name)
        names = passage_names(database, name)
        older.append((view, names, canonical(view, names)))
    for one, names, content in older:  # no view changes once it was made
        assert canonical(one, names) == content


@HISTORIES
@given(st.lists(st.one_of(commits(), CORRECTIONS), min_size=1, max_size=16), st.booleans())
def test_what_is_there_follows_from_what_lives_and_from_the_corrections_that_stand(
    memories: Memories, history: list[Step | Put | Undo], named: bool
) -> None:
    """Whichever came first, documents or corrections, and whatever was undone or forgotten meanwhile."""
    database, (name, cid), (other, other_id) = memories.database, memories.collection(), memories.collection()
    prepare = embed_names if named else lambda one: one
    view, steps = empty_view(), []
    for move in history:
        if isinstance(move, Step):
            steps.append(replace(move, write=tuple(prepare(one) for one in move.write)))
            replay(database, cid, steps[-1])
        else:
            put(database, cid, move)
        view = fresh(database, view, name)
    assert_up_to_date(view, database, name)
    standing_in(database, cid, other_id)
    for one in outcome(steps).values():
        commit_documents(database, other_id, one)
    assert content_of(database, name) == content_of(database, other)
    contents = [canonical(fresh(database, name=one), passage_names(database, one)) for one in (name, other)]
    assert contents[0] == contents[1]


@settings(HISTORIES, max_examples=25)
@given(st.lists(commits(), min_size=1, max_size=6), st.lists(puts(), min_size=1, max_size=6), st.randoms())
def test_undone_corrections_leave_nothing(
    memories: Memories, history: list[Step], made: list[Put], chance: random.Random
) -> None:
    database, (name, cid) = memories.database, memories.collection()
    for step in history:
        replay(database, cid, step)
    before = content_of(database, name)
    for one in made:
        put(database, cid, one)
    for _ in made:
        put(database, cid, Undo(chance.randrange(100)))
    assert content_of(database, name) == before
    with database.read() as connection:
        assert connection.scalar(select(func.count()).where(originals.c.collection_id == cid)) == 0


@HISTORIES
@given(st.lists(written("ab"), max_size=2), written("c"), st.booleans(), st.booleans())
def test_what_was_learned_and_forgotten_leaves_nothing(
    memories: Memories, kept: list[LearnedDocument], forgotten: LearnedDocument, behind: bool, merge: bool
) -> None:
    database = memories.database
    contents = []
    for both in (True, False):
        name, cid = memories.collection()
        view = empty_view()
        for one in [*kept, *([forgotten] if both else [])]:
            commit_documents(database, cid, one)
            view = view if behind else fresh(database, view, name)
        view = compacted(view) if merge else view
        if both:
            assert forget_document(database, cid, "c")
        contents.append(canonical(fresh(database, view, name), passage_names(database, name)))
    assert contents[0] == contents[1]


@st.composite
def detours(draw: st.DrawFn, alive: Sequence[LearnedDocument]) -> list[Step]:
    """Return a history that ends with these documents: in any order, replaced meanwhile, with others in between."""
    steps: list[Step] = []
    pending = draw(st.permutations(list(alive)))
    for one in pending:
        if draw(st.booleans()):  # first another text under the same id
            steps.append(Step((learn_document(one.document.id, draw(st.sampled_from(SENTENCES))),), ()))
        if draw(st.booleans()):  # a document that is forgotten again
            steps += [Step((draw(written("xy")),), ()), Step((), ("x", "y"))]
        if draw(st.booleans()):  # learned, replaced, and learned again as it was
            steps += [Step((one,), ()), Step((learn_document(one.document.id, "Lake Orrin likes Cora Finch."),), ())]
        if draw(st.booleans()):
            steps += [Step((one,), ()), Step((), (one.document.id,))]
        steps.append(Step((one,), ()))
    return steps


@st.composite
def two_ways(draw: st.DrawFn) -> tuple[list[Step], list[Step]]:
    """Return two histories that end with the same documents."""
    alive = draw(st.lists(written(), min_size=1, max_size=6, unique_by=lambda one: one.document.id))
    return draw(detours(alive)), draw(detours(alive))


Ranking = list[tuple[str, int, float]]


WAYS: tuple[tuple[Mode, Rerank | None], ...] = (("dense", None), ("graph", "none"), ("hybrid", None), ("graph", None))


def search(searcher: Searcher, name: str, question: str, mode: Mode, rerank: Rerank | None = None) -> Ranking:
    found = searcher.search(name, SearchRequest(query=question, top_k=1000, mode=mode, rerank=rerank))
    return [(hit.document_id, hit.ordinal, hit.score) for hit in found.hits]


def assert_same_ranking(found: Ranking, expected: Ranking) -> None:
    assert [(key, ordinal) for key, ordinal, _ in found] == [(key, ordinal) for key, ordinal, _ in expected]
    for (_, _, score), (_, _, wanted) in zip(found, expected, strict=True):
        assert abs(score - wanted) <= 1e-9


@settings(HISTORIES, max_examples=15)
@given(two_ways(), st.booleans())
def test_exact_searches_do_not_know_in_which_order_things_were_learned(
    memories: Memories, ways: tuple[list[Step], list[Step]], merge: bool
) -> None:
    database = memories.database
    assert {key: one.content_hash for key, one in outcome(ways[0]).items()} == {
        key: one.content_hash for key, one in outcome(ways[1]).items()
    }
    views, rebuilt = ViewCache(database), ViewCache(database)
    followed, afresh = (Searcher(database, cache, EMBEDDER, EXACT, ranker=RANKER) for cache in (views, rebuilt))
    names, contents = [], []
    for way in ways:
        name, cid = memories.collection()
        names.append(name)
        for number, step in enumerate(way):
            replay(database, cid, step)
            view = views.current(name)[1]
            if merge and number == len(way) // 2:
                views._held[name].view = compacted(view)
        contents.append(canonical(views.current(name)[1], passage_names(database, name)))
    assert contents[0] == contents[1]
    for question in QUESTIONS:
        for way in WAYS:
            expected = search(afresh, names[0], question, *way)
            assert len(expected) == len(contents[0]["vectors"])
            assert_same_ranking(search(afresh, names[1], question, *way), expected)
            for name in names:
                assert_same_ranking(search(followed, name, question, *way), expected)


def test_equal_texts_are_ordered_by_their_names(memories: Memories) -> None:
    """More documents of one text than are returned: which of them are, and in which order, follows from their names."""
    database = memories.database
    found = []
    for seed in range(4):
        name, cid = memories.collection()
        keys = [f"copy-{number}" for number in range(30)]
        random.Random(seed).shuffle(keys)
        for part in range(0, 30, 10):
            commit_documents(
                database, cid, *(learn_document(key, SENTENCES[0], SENTENCES[4]) for key in keys[part : part + 10])
            )
        searcher = Searcher(database, ViewCache(database), EMBEDDER, replace(EXACT, seeds=7), ranker=RANKER)
        rankings = []
        for mode, rerank in WAYS:
            hits = searcher.search(name, SearchRequest(query=SENTENCES[0], top_k=12, mode=mode, rerank=rerank)).hits
            rankings.append([(hit.document_id, hit.ordinal) for hit in hits])
        found.append(rankings)
    assert all(one == found[0] for one in found)


@settings(HISTORIES, max_examples=25)
@given(st.lists(commits(), min_size=1, max_size=10), st.sampled_from([1e-1, 1e-2, 1e-3, 1e-5]))
def test_a_push_is_as_close_to_the_exact_walk_as_it_says(
    memories: Memories, history: list[Step], epsilon: float
) -> None:
    database, (name, cid) = memories.database, memories.collection()
    fast = Searcher(database, ViewCache(database), EMBEDDER, GraphParams(walk=WalkParams(epsilon=epsilon)))
    exact = Searcher(database, ViewCache(database), EMBEDDER, EXACT)
    for step in history:
        replay(database, cid, step)
        for question in QUESTIONS:
            pushed = fast.search(name, SearchRequest(query=question, top_k=1000, rerank="none"))
            walked = [stage.detail for stage in pushed.stages if stage.name == "walk"]
            expected = search(exact, name, question, "graph", "none")
            if not walked or not walked[0]:  # nothing to walk on: dense on both paths
                assert pushed.fallback_reason == "empty_graph" or not expected
                assert_same_ranking([(h.document_id, h.ordinal, h.score) for h in pushed.hits], expected)
                continue
            scores = {(hit.document_id, hit.ordinal): hit.score for hit in pushed.hits}
            wanted = {(key, ordinal): score for key, ordinal, score in expected}
            assert scores.keys() == wanted.keys()
            gaps = [wanted[key] - scores[key] for key in wanted]
            assert min(gaps) >= -1e-12
            assert sum(gaps) <= walked[0]["residual"] + 1e-12


def clustered(chance: np.random.Generator, n: int, dim: int = 24, clusters: int = 60) -> np.ndarray:
    """Return unit vectors (n, dim) around a few centres, which are the same in every call."""
    centres = np.random.default_rng(7).standard_normal((clusters, dim))
    vectors = centres[chance.integers(0, clusters, n)] + 0.6 * chance.standard_normal((n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def changes(version: int, first_id: int, vectors: np.ndarray, removed: np.ndarray) -> Changes:
    """Return a commit of passages without names."""
    ids = np.arange(first_id, first_id + len(vectors))
    none = np.zeros(0, dtype=np.int64)
    return Changes(
        version=version,
        token=str(version),
        passage_ids=ids,
        document_ids=ids,
        order_keys=np.random.default_rng(version).integers(-(2**62), 2**62, len(ids)),
        title_words=np.zeros(0, dtype=np.uint32),
        title_ends=np.zeros(len(ids), dtype=np.int64),
        words=np.zeros(0, dtype=np.uint32),
        word_ends=np.zeros(len(ids), dtype=np.int64),
        vectors=vectors,
        phrase_keys={},
        mentions=none.reshape(-1, 3),
        relations=none.reshape(-1, 4),
        removed_passages=removed,
        removed_phrases=none,
    )


def test_segments_find_as_many_of_the_nearest_as_they_say(tmp_path: Path) -> None:
    chance = np.random.default_rng(11)
    index = PassageIndex.of(np.zeros((0, 0), dtype=np.float16), IndexParams(seal_at=1500))
    view, first_id, checked = replace(empty_view(), index=index), 1, 0
    for version in range(1, 10):
        alive = view.passage_ids[view.graph.living_passages()]
        removed = chance.choice(alive, len(alive) // 20, replace=False)
        view = advance(view, changes(version, first_id, clustered(chance, 900), removed))
        first_id += 900
        if view.index.due:
            view = replace(view, index=view.index.with_segments_of(view.index.sealed()))
        if version == 7:
            view = compacted(view)
            loaded = SavedViews(tmp_path).save(view) and SavedViews(tmp_path).newest()
            assert loaded is not None
            view = replace(loaded, index=replace(loaded.index, params=index.params))
            assert view.index.segments
        if not view.index.segments or len(view.index) < 3000:
            continue
        for k in (10, 100):
            shares = []
            for query in clustered(chance, 60).astype(np.float32):
                nearest, _ = view.index.search(query, k, exact=True, ties=view.orders.rows)
                found, similarities = view.index.search(query, k, ties=view.orders.rows)
                assert len(found) == len(nearest) == k
                assert not np.isin(found, view.index.dead).any()
                assert (np.diff(similarities) <= 1e-12).all()
                shares.append(np.isin(nearest, found).mean())
            assert np.mean(shares) >= view.index.recall - 0.02, (version, k)
            checked += 1
    assert checked >= 8
