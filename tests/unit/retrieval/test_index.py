"""The nearest are the nearest, whatever happened to the index before, and earlier versions stay as they were."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from retrieval import segments
from retrieval.index import IndexParams, PassageIndex

Halves = NDArray[np.float16]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


def _unit(random: np.random.Generator, *shape: int) -> Halves:
    vectors = random.standard_normal(shape)
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float16)


def _coarse(random: np.random.Generator, n: int, dim: int) -> Halves:
    """Return vectors of few different values, so that many are equal or equally far."""
    return _unit(random, 12, dim)[random.integers(12, size=n)] if n else np.zeros((0, dim), dtype=np.float16)


def _clustered(random: np.random.Generator, n: int, dim: int, clusters: int) -> Halves:
    noise = random.standard_normal((n, dim)) * 0.5 / np.sqrt(dim)
    vectors = _unit(random, clusters, dim)[random.integers(clusters, size=n)] + noise
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def _oracle(
    vectors: Halves, live: Mask, query: Floats, k: int, ties: Ints | None = None
) -> tuple[list[int], NDArray[np.float64]]:
    rows = np.flatnonzero(live)
    scores = vectors[rows].astype(np.float64) @ query.astype(np.float64)
    order = np.lexsort((rows if ties is None else ties[rows], -scores.round(12)))[: max(k, 0)]
    return rows[order].tolist(), scores[order]


def _check(index: PassageIndex, vectors: Halves, live: Mask, random: np.random.Generator) -> None:
    assert len(index) == len(vectors)
    assert index.dead.tolist() == np.flatnonzero(~live).tolist()
    assert np.array_equal(index.take(np.arange(len(index))), vectors)
    query = random.standard_normal(vectors.shape[1]).astype(np.float32)
    ties = random.permutation(len(vectors)).astype(np.int64) if random.random() < 0.5 else None
    allowed = random.random(len(vectors)) < random.random() if random.random() < 0.5 else None
    may = live if allowed is None else live & allowed
    for k in (1, int(random.integers(1, 40)), len(vectors) + 1):
        rows, scores = index.search(query, k, allowed=allowed, exact=True, ties=ties)
        expected, expected_scores = _oracle(vectors, may, query, k, ties)
        assert rows.tolist() == expected
        np.testing.assert_allclose(scores, expected_scores, rtol=0, atol=1e-12)
        fast_rows, fast_scores = index.search(query, k, allowed=allowed, ties=ties)
        assert len(set(fast_rows.tolist())) == len(expected)
        assert may[fast_rows].all()
        known = dict(zip(rows.tolist(), scores.tolist(), strict=True))
        assert all(known.get(row, score) == score for row, score in zip(fast_rows, fast_scores, strict=True))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    dim=st.sampled_from([2, 3, 8, 16]),
    coarse=st.booleans(),
    few=st.sampled_from([0, 2048]),
    steps=st.lists(st.sampled_from(["extend", "without", "seal", "save", "compact"]), min_size=3, max_size=12),
)
def test_any_history_answers_like_a_scan(seed: int, dim: int, coarse: bool, few: int, steps: list[str]) -> None:
    random = np.random.default_rng(seed)
    made = _coarse if coarse else lambda random, n, dim: _unit(random, n, dim)
    params = IndexParams(seal_at=40, scan_share=0.02)
    vectors, live = np.zeros((0, 0), dtype=np.float16), np.zeros(0, dtype=np.bool_)
    index = PassageIndex.of(vectors, params)
    versions = []
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr("retrieval.vectors.FEW_ROWS", few)
        patch.setattr("retrieval.index.FEW_ROWS", few)
        patch.setattr(segments, "_PROBES", 8)
        patch.setattr(segments, "_WORTH", 1.0)
        for step, action in enumerate(["extend", *steps]):
            if action == "extend":
                more = made(random, int(random.integers(0, 150)), dim)
                index = index.extended(more)
                if len(more):
                    vectors = np.concatenate([vectors.reshape(-1, dim), more])
                live = np.concatenate([live, np.ones(len(more), dtype=np.bool_)])
            elif action == "without" and len(vectors):
                gone = random.integers(len(vectors), size=random.integers(len(vectors)))
                index, live = index.without(gone), live.copy()
                live[gone] = False
            elif action == "seal":
                index = index.sealed()
                assert not index.due
            elif action == "save":
                here = Path(folder) / str(step)
                here.mkdir()
                files = index.save(here)
                assert sorted(files) == sorted(here.iterdir())
                index = PassageIndex.load(here, params)
            elif action == "compact":
                index = index.compacted()
                vectors, live = vectors[live], live[live]
            versions.append((index, vectors, live))
        for version in versions:
            _check(*version, random)


def test_segments_are_used_and_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "_WORTH", 1.0)
    random = np.random.default_rng(0)
    index = PassageIndex.of(np.zeros((0, 0), dtype=np.float16), IndexParams(seal_at=64))
    vectors = _clustered(random, 30 * 64, 16, 20)
    for at in range(0, len(vectors), 64):
        index = index.extended(vectors[at : at + 64])
        assert index.due
        index = index.sealed()
        ends = [0, *(segment.stop for segment in index.segments)]
        assert ends[:-1] == [segment.start for segment in index.segments]
        assert ends[-1] == len(index)
        assert all(len(a) > 2 * len(b) for a, b in zip(index.segments, index.segments[1:], strict=False))
    assert len(index.segments) <= 6
    assert index.segments[0].index is not None
    assert index.nbytes["segments"] >= len(index.segments[0]) * 4


def test_recall_of_the_fast_path() -> None:
    random = np.random.default_rng(1)
    vectors = _clustered(random, 12_000, 32, 120)
    index = PassageIndex.of(vectors[:8000], IndexParams(seal_at=3000)).sealed()
    index = index.extended(vectors[8000:11_500]).sealed().extended(vectors[11_500:])
    assert [len(segment) for segment in index.segments] == [8000, 3500]
    for segment in index.segments:
        assert segment.index is not None
        assert segment.nbytes == len(segment) * 8
    assert 0.99 <= index.recall <= 1.0
    queries = vectors[random.integers(len(vectors), size=50)] + 0.2 * _unit(random, 50, 32)
    index = index.without(random.choice(len(vectors), 500, replace=False))
    allowed = random.random(len(vectors)) < 0.4
    for k, chosen in ((10, None), (100, None), (100, allowed)):
        found = 0.0
        for query in queries.astype(np.float32):
            exact = index.search(query, k, allowed=chosen, exact=True)
            fast = index.search(query, k, allowed=chosen)
            found += len(np.intersect1d(exact[0], fast[0])) / k
            scores = dict(zip(*exact, strict=True))
            assert all(scores[row] == score for row, score in zip(*fast, strict=True) if row in scores)
        assert found / len(queries) >= 0.99


def test_where_no_codes_reach_the_recall_all_rows_are_scanned() -> None:
    random = np.random.default_rng(2)
    vectors = _unit(random, 3000, 64)
    index = PassageIndex.of(vectors, IndexParams(seal_at=1000, recall=1.01)).sealed()
    assert not index.due
    assert index.segments[0].index is None
    assert index.recall == 1.0
    query = _unit(random, 64).astype(np.float32)
    assert index.search(query, 50)[0].tolist() == index.search(query, 50, exact=True)[0].tolist()


def test_sealing_twice_gives_the_same_segment() -> None:
    vectors = _clustered(np.random.default_rng(3), 3000, 16, 30)
    one, other = (PassageIndex.of(vectors, IndexParams(seal_at=100)).sealed() for _ in range(2))
    assert one.segments[0].factor == other.segments[0].factor > 0
    assert one.recall == other.recall
    query = vectors[5].astype(np.float32)
    assert one.search(query, 100)[0].tolist() == other.search(query, 100)[0].tolist()


@pytest.mark.parametrize("n", [100, 5000])
def test_ties_at_the_kth_go_to_the_lower_key(n: int) -> None:
    vectors = np.tile(np.array([1, 0, 0, 0], dtype=np.float16), (n, 1))
    vectors[n // 2] = (0, 1, 0, 0)
    index = PassageIndex.of(vectors[: n // 3]).extended(vectors[n // 3 :])
    query = np.array([1, 0, 0, 0], dtype=np.float32)
    keys = np.arange(n)[::-1].copy()
    assert index.search(query, 7)[0].tolist() == list(range(7))
    assert index.search(query, 7, ties=keys)[0].tolist() == list(range(n - 1, n - 8, -1))
    rows, scores = index.search(query, n)
    assert rows[-1] == n // 2
    assert scores.tolist() == [1.0] * (n - 1) + [0.0]


def test_ties_that_float32_sums_tell_apart_are_still_ties() -> None:
    random = np.random.default_rng(4)
    vectors = random.permuted(np.repeat(_unit(random, 1, 64), 6000, axis=0), axis=1)
    query = np.full(64, 0.1, dtype=np.float32)
    assert len(np.unique(vectors.astype(np.float32) @ query)) > 1
    assert PassageIndex.of(vectors).search(query, 40, exact=True)[0].tolist() == list(range(40))


def test_nothing_is_found_where_nothing_may_be() -> None:
    query = np.ones(3, dtype=np.float32)
    index = PassageIndex.of(np.eye(3, dtype=np.float16))
    empty = PassageIndex.of(np.zeros((0, 0), dtype=np.float16))
    for found in (
        index.search(query, 0),
        index.search(query, -1),
        index.search(query, 3, allowed=np.zeros(3, dtype=np.bool_)),
        index.without(np.arange(3)).search(query, 3),
        empty.search(query, 3),
        empty.sealed().compacted().search(query, 3, allowed=np.zeros(0, dtype=np.bool_), exact=True),
    ):
        assert [len(part) for part in found] == [0, 0]
    assert empty.nbytes == {"vectors": 0, "segments": 0, "tail": 0}
    assert empty.recall == 1.0


def test_what_does_not_fit_is_refused() -> None:
    index = PassageIndex.of(np.eye(3, dtype=np.float16), dead=np.array([1]))
    with pytest.raises(ValueError, match="4 components"):
        index.extended(np.eye(4, dtype=np.float16))
    with pytest.raises(ValueError, match="does not fit"):
        index.search(np.ones(4, dtype=np.float32), 1)
    with pytest.raises(ValueError, match="mask of 2 rows"):
        index.search(np.ones(3, dtype=np.float32), 1, allowed=np.ones(2, dtype=np.bool_))
    with pytest.raises(IndexError):
        index.without(np.array([3]))
    with pytest.raises(ValueError, match="do not fit"):
        index.with_segments_of(PassageIndex.of(np.eye(8, dtype=np.float16), IndexParams(seal_at=2)).sealed())


def test_extending_copies_neither_the_base_nor_the_tail(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    PassageIndex.of(_unit(random, 300, 8), IndexParams(seal_at=100)).sealed().save(tmp_path)
    loaded = PassageIndex.load(tmp_path)
    base = loaded._vectors.base
    assert isinstance(base.base, np.memmap)
    first = loaded.extended(_unit(random, 5, 8))
    second = first.extended(_unit(random, 5, 8)).without(np.array([2]))
    assert first._vectors.base is second._vectors.base is base
    assert np.shares_memory(first._vectors.tail.rows, second._vectors.tail.rows)
    assert first.segments is second.segments is loaded.segments
    assert second.nbytes["tail"] == 10 * 8 * 2


def test_forks_of_one_version_do_not_see_each_other() -> None:
    random = np.random.default_rng(6)
    root = PassageIndex.of(_unit(random, 20, 8)).extended(_unit(random, 4, 8))
    left, right = _unit(random, 3, 8), _unit(random, 3, 8)
    one, other = root.extended(left), root.extended(right)
    assert np.array_equal(one.take(np.arange(24, 27)), left)
    assert np.array_equal(other.take(np.arange(24, 27)), right)
    assert one.search(left[0].astype(np.float32), 1)[0].tolist() == [24]
    assert root.search(left[0].astype(np.float32), 99)[0].max() == 23


def test_a_sealed_version_lends_its_segments_to_one_that_has_grown_since() -> None:
    random = np.random.default_rng(7)
    vectors = _clustered(random, 400, 16, 5)
    index = PassageIndex.of(vectors[:300], IndexParams(seal_at=200))
    grown = index.extended(vectors[300:]).without(np.array([7]))
    taken = grown.with_segments_of(index.sealed())
    assert grown.due
    assert not taken.due
    assert taken.dead.tolist() == [7]
    live = np.arange(400) != 7
    assert (
        taken.search(vectors[7].astype(np.float32), 20, exact=True)[0].tolist()
        == (_oracle(vectors, live, vectors[7].astype(np.float32), 20)[0])
    )


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17])
def test_very_few_rows_are_scanned(n: int) -> None:
    vectors = _unit(np.random.default_rng(9), n, 8)
    index = PassageIndex.of(vectors, IndexParams(seal_at=1)).sealed()
    assert index.search(vectors[0].astype(np.float32), 99, allowed=None)[0][0] == 0
    assert len(index.search(vectors[0].astype(np.float32), 99)[0]) == n


def test_an_odd_number_of_components_is_coded_too(tmp_path: Path) -> None:
    vectors = _clustered(np.random.default_rng(10), 4000, 9, 20)
    index = PassageIndex.of(vectors, IndexParams(seal_at=1000)).sealed()
    assert index.segments[0].index is not None
    index.save(tmp_path)
    query = vectors[3].astype(np.float32)
    assert PassageIndex.load(tmp_path).search(query, 5)[0].tolist() == index.search(query, 5)[0].tolist()


def test_many_threads_search_while_one_extends_and_seals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.vectors.FEW_ROWS", 0)
    monkeypatch.setattr("retrieval.index.FEW_ROWS", 0)
    monkeypatch.setattr(segments, "_PROBES", 8)
    random = np.random.default_rng(8)
    vectors = _clustered(random, 2000, 16, 20)
    current = PassageIndex.of(vectors[:400], IndexParams(seal_at=300))
    done = threading.Event()

    def search(seed: int) -> int:
        own, searched = np.random.default_rng(seed), 0
        while not done.is_set() or not searched:
            index = current
            query = vectors[own.integers(400)].astype(np.float32)
            live = np.ones(len(index), dtype=np.bool_)
            live[index.dead] = False
            expected, scores = _oracle(vectors[: len(index)], live, query, 10)
            assert index.search(query, 10, exact=True)[0].tolist() == expected
            fast_rows, fast_scores = index.search(query, 10)
            assert len(fast_rows) == 10
            assert live[fast_rows].all()
            assert fast_scores[0] <= scores[0] + 1e-12
            searched += 1
        return searched

    with ThreadPoolExecutor(8) as pool:
        searching = [pool.submit(search, seed) for seed in range(8)]
        try:
            for at in range(400, 2000, 160):
                index = current.extended(vectors[at : at + 160]).without(random.integers(at, size=3))
                current = index.with_segments_of(index.sealed())
        finally:
            done.set()
        assert all(future.result() > 0 for future in searching)
    assert len(current) == 2000
    assert current.segments
