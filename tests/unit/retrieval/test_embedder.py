"""The embedder: unit vectors in the order of the texts, loaded when first needed, safe to call from threads.

The real model is met in the integration tests: here it is a stand-in, which costs no seconds.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock, Thread
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval import embedder as embedder_module
from retrieval.embedder import SentenceTransformerEmbedder, passage_input


class _Model:
    """Stands in for sentence-transformers' model."""

    def get_embedding_dimension(self) -> int:
        return 3


class _Embedder(SentenceTransformerEmbedder):
    """Gives (length of the text, 0, 4), not of unit length, for a batch, and remembers the batches."""

    def __init__(self, **options: Any) -> None:
        super().__init__(Path("x"), name="m", **options)
        self.batches: list[list[str]] = []
        self._remember = Lock()

    def _encode_batch(self, model: Any, texts: list[str]) -> NDArray[np.float32]:
        assert isinstance(model, _Model)
        with self._remember:
            self.batches.append(texts)
        return np.array([[len(text), 0.0, 4.0] for text in texts], dtype=np.float32)


@pytest.fixture(autouse=True)
def loads(monkeypatch: pytest.MonkeyPatch) -> list[_Model]:
    """The models that were loaded."""
    made: list[_Model] = []

    def load(folder: Path) -> _Model:
        assert folder == Path("x")
        made.append(_Model())
        return made[-1]

    monkeypatch.setattr(embedder_module, "_load", load)
    return made


def _expected(texts: list[str]) -> NDArray[np.float64]:
    vectors = np.array([[len(text), 0.0, 4.0] for text in texts])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_vectors_have_unit_length() -> None:
    vectors = _Embedder().encode(["abc", ""])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, [[0.6, 0, 0.8], [0, 0, 1]], atol=1e-6)


@pytest.mark.parametrize("count", [1, 4, 5, 23])
@pytest.mark.parametrize("threads", [1, 3])
def test_vectors_come_in_the_order_of_the_texts(count: int, threads: int) -> None:
    texts = ["x" * (7 * number % 23) for number in range(count)]
    embedder = _Embedder(batch_size=4, threads=threads)
    np.testing.assert_allclose(embedder.encode(texts), _expected(texts), atol=1e-6)
    assert sorted(text for batch in embedder.batches for text in batch) == sorted(texts)
    assert max(len(batch) for batch in embedder.batches) <= 4


def test_the_model_is_loaded_once_and_only_when_needed(loads: list[_Model]) -> None:
    embedder = _Embedder()
    assert embedder.name == "m"
    assert loads == []
    embedder.warm()
    embedder.encode(["a"])
    assert embedder.dim == 3
    assert len(loads) == 1


def test_no_text_gives_no_vector() -> None:
    assert _Embedder().encode(()).shape == (0, 3)


def test_a_vector_of_zeros_stays_one_and_is_not_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Embedder, "_encode_batch", lambda self, model, texts: np.zeros((len(texts), 3)))
    assert not _Embedder().encode(["a"]).any()


def test_many_threads_may_ask_at_once(loads: list[_Model]) -> None:
    embedder = _Embedder(batch_size=2, threads=2)
    wrong: list[object] = []

    def encode(number: int) -> None:
        texts = ["y" * (number + extra) for extra in range(5)]
        try:
            for _ in range(20):
                np.testing.assert_allclose(embedder.encode(texts), _expected(texts), atol=1e-6)
        except BaseException as error:  # noqa: BLE001 - shown by the assertion
            wrong.append(error)

    threads = [Thread(target=encode, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert len(loads) == 1


def test_an_error_in_one_batch_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: object, _model: object, texts: list[str]) -> NDArray[np.float32]:
        if "bad!" in texts:
            raise MemoryError
        return np.ones((len(texts), 3), dtype=np.float32)

    monkeypatch.setattr(_Embedder, "_encode_batch", fail)
    with pytest.raises(MemoryError):
        _Embedder(batch_size=1, threads=2).encode(["good", "bad!", "fine"])


@pytest.mark.parametrize(
    ("title", "heading", "text", "expected"),
    [
        ("T", "H", "x", "T\nH\nx"),
        ("", "H", "x", "H\nx"),
        ("T", "", "x", "T\nx"),
        ("", "", "x", "x"),
    ],
)
def test_a_passage_is_embedded_under_its_title(title: str, heading: str, text: str, expected: str) -> None:
    assert passage_input(title, heading, text) == expected
