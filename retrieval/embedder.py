"""Texts to vectors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class Embedder(Protocol):
    """Turns texts into unit vectors whose inner product says how near their meanings are."""

    name: str

    @property
    def dim(self) -> int:
        """The length of a vector."""
        ...

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector a text: float32 of shape (len(texts), dim)."""
        ...


class SentenceTransformerEmbedder:
    """A sentence-transformers model from a local folder, on the CPU or the first GPU.

    On a processor with bfloat16 instructions the model runs in bfloat16: twice as fast as float32 for vectors whose
    inner products differ in the third decimal. ``threads`` batches are encoded at once.
    """

    def __init__(self, folder: Path, *, name: str, threads: int | None = None, batch_size: int = 32) -> None:
        self.name = name
        self._folder = folder
        self._threads = threads or os.cpu_count() or 1
        self._batch_size = batch_size
        self._loaded: SentenceTransformer | None = None
        self._lock = RLock()
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="embed")

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return int(self._model.get_embedding_dimension() or 0)

    def warm(self) -> None:
        """Load the model now; otherwise the first text does."""
        self.encode(["warm up"])

    @property
    def _model(self) -> SentenceTransformer:
        with self._lock:
            if self._loaded is None:
                self._loaded = _load(self._folder)
            return self._loaded

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector a text: float32 of shape (len(texts), dim)."""
        model = self._model
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        # Batches of like length waste little on padding.
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        batches = [order[start : start + self._batch_size] for start in range(0, len(order), self._batch_size)]

        def encode_batch(rows: Sequence[int]) -> None:
            vectors[rows] = self._encode_batch(model, [texts[row] for row in rows])

        if len(batches) == 1:
            encode_batch(batches[0])
        elif batches:
            list(self._pool.map(encode_batch, batches))
        # Normalised here, in float32: in bfloat16 the lengths would be off by up to half a percent.
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        normalised: NDArray[np.float32] = vectors / np.maximum(lengths, np.float32(1e-12))
        return normalised

    def _encode_batch(self, model: SentenceTransformer, texts: list[str]) -> NDArray[np.float32]:
        import torch
        from sentence_transformers.util import batch_to_device

        with self._lock:  # the tokenizer's truncation state is not safe to change from two threads
            features = model.preprocess(texts)
        with torch.inference_mode():
            found = model(batch_to_device(features, model.device))["sentence_embedding"]
        vectors: NDArray[np.float32] = found.float().cpu().numpy()
        return vectors


def _load(folder: Path) -> SentenceTransformer:
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # loading takes a moment, and standard error is ours
    # One thread a batch and several batches at once: threads that share a batch wait for each other wherever another
    # process (the extractor, a question's walk) has taken a core.
    torch.set_num_threads(1)
    on_gpu = torch.cuda.is_available()
    fast_bfloat16 = not on_gpu and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return SentenceTransformer(
        str(folder),
        device="cuda" if on_gpu else "cpu",
        local_files_only=True,
        model_kwargs={"dtype": torch.bfloat16 if fast_bfloat16 else torch.float32},
    )


def passage_input(title: str, heading: str, text: str) -> str:
    """Return what is embedded for a passage: its title and headings, then its text."""
    return "\n".join(part for part in (title, heading, text) if part)
