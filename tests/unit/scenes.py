"""Views of a few passages made by hand, and questions put to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memory_graph.hashing import hash_keys
from memory_graph.store.reading import Changes
from memory_graph.text import normalize, title_as_name
from retrieval.graph_search import GraphParams
from retrieval.scene import Scene, look
from retrieval.stages import Stages
from retrieval.testing import HashEmbedder
from retrieval.view import View, advance, empty_view

Vectors = NDArray[np.float32]

EMBEDDER = HashEmbedder(256)
FIRST_PASSAGE, FIRST_PHRASE = 100, 10


def commit_of(
    passages: Sequence[tuple[str, str]],
    names: Sequence[str] = (),
    *,
    version: int = 1,
    vectors: Vectors | None = None,
    first: tuple[int, int] = (FIRST_PASSAGE, FIRST_PHRASE),
    forgotten: Sequence[int] = (),
    forgotten_names: Sequence[int] = (),
) -> Changes:
    """Return a commit of (title, text), each a document of one passage, and of the names that it brings.

    Ids go on from ``first``, a passage's and a phrase's; those of ``forgotten`` are removed.
    """
    n = len(passages)
    ids = np.arange(first[0], first[0] + n)
    words, ends = hash_keys([normalize(f"{title}\n\n{text}") for title, text in passages])
    keys = [normalize(title_as_name(title)) for title, _ in passages]
    title_words, title_ends = hash_keys(keys)
    if vectors is None:
        vectors = EMBEDDER.encode([f"{title}\n{text}" for title, text in passages]) if n else np.zeros((0, 0))
    return Changes(
        version=version,
        token=str(version),
        passage_ids=ids,
        document_ids=ids,
        order_keys=ids,
        title_words=title_words,
        title_ends=title_ends,
        words=words,
        word_ends=ends,
        vectors=np.asarray(vectors, dtype=np.float16),
        phrase_keys={first[1] + number: normalize(name) for number, name in enumerate(names)},
        mentions=np.zeros((0, 3), dtype=np.int64),
        relations=np.zeros((0, 4), dtype=np.int64),
        removed_passages=np.array(forgotten, dtype=np.int64),
        removed_phrases=np.array(forgotten_names, dtype=np.int64),
    )


def view_of(
    passages: Sequence[tuple[str, str]], names: Sequence[str] = (), *, vectors: Vectors | None = None, settled: int = -1
) -> View:
    """Return a view of passages and names; of the passages the first ``settled`` lie in settled rows, -1 for all."""
    if not 0 <= settled < len(passages):
        return advance(empty_view(), commit_of(passages, names, vectors=vectors))
    head, tail = (None, None) if vectors is None else (vectors[:settled], vectors[settled:])
    view = advance(empty_view(), commit_of(passages[:settled], names, vectors=head))
    first = FIRST_PASSAGE + settled, FIRST_PHRASE + len(names)
    return advance(view, commit_of(passages[settled:], version=2, vectors=tail, first=first))


def ask(view: View, question: str, params: GraphParams | None = None, *, query: Vectors | None = None) -> Scene:
    """Return a question before a view, all passages compared; ``query`` (dim,) replaces the question's vector."""
    params = params or GraphParams()
    vector = EMBEDDER.encode([question])[0] if query is None else query
    dense, _ = view.index.search(vector, params.seeds, exact=True, ties=view.orders.rows)
    return look(view, vector, question, dense, params, Stages())
