"""Arrays that grow while older versions stay as they were."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from memory_graph.growing import Growing


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 40)), max_size=60))
def test_every_version_keeps_its_rows(steps: list[tuple[int, int]]) -> None:
    versions, contents = [Growing.empty(np.int64)], [np.zeros(0, dtype=np.int64)]
    for number, (parent, count) in enumerate(steps):
        base = parent % len(versions)  # an older version may grow too
        added = np.arange(count) + 1000 * number
        versions.append(versions[base].extended(added))
        contents.append(np.concatenate([contents[base], added]))
    for version, content in zip(versions, contents, strict=True):
        assert len(version) == len(content)
        np.testing.assert_array_equal(version.rows, content)


def test_growing_costs_by_the_rows_that_are_added() -> None:
    grown = Growing.of(np.arange(10)).extended(np.arange(1))
    buffers = {id(grown._buffer)}
    for _ in range(200):
        grown = grown.extended(np.arange(1))
        buffers.add(id(grown._buffer))
    assert len(buffers) == 1


def test_what_was_given_is_never_written_to() -> None:
    given_rows = np.arange(4.0).reshape(2, 2)
    grown = Growing.of(given_rows).extended(np.ones((3, 2)))
    assert grown.rows.shape == (5, 2)
    np.testing.assert_array_equal(given_rows, [[0, 1], [2, 3]])
