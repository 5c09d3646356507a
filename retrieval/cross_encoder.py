"""A question and a passage read together: how well the one answers the other, as a cross-encoder sees it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from memory_graph.types import Hit
from retrieval.embedder import passage_input

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

Floats = NDArray[np.float32]

MAX_TOKENS = 512
MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
_TOLD = 20  # of the best, in the trace
_LEAST = 1e-4  # below what the chain ranker gives: passages that were no candidates of it have any score


class PairScorer(Protocol):
    """Says how well texts answer a question."""

    name: str

    def score(self, question: str, texts: Sequence[str]) -> Floats:
        """Return a number without unit for each text, higher for a better one: float32 of shape (len(texts),)."""
        ...


@dataclass(frozen=True, kw_only=True)
class CrossParams:
    """The ``candidates`` best of a ranking are scored again; the time that takes is in proportion to them.

    Behind the chain ranker ``beside_chain`` times the scorer's logit is added to its log-odds: a passage that another
    one leads to need not resemble the question, so that the cross-encoder alone would lose it.
    """

    candidates: int = 30
    beside_chain: float = 0.1


class CrossEncoder:
    """A BERT-like cross-encoder in ONNX, on the CPU; the longer of question and text is cut to 512 tokens in all.

    ``find`` is called with the first text and returns the folder of the model; its errors reach the caller. ``threads``
    pairs are scored at once, however many questions come together. Each pair goes through the model alone: a quantised
    model scales its activations over a whole batch, so that a text's score would depend on its company, and 30 pairs
    took half the processor time of batches of 8 and a fifth of that of one batch, which are padded.
    """

    def __init__(self, find: Callable[[], Path], *, name: str, threads: int | None = None) -> None:
        self.name = name
        self._find = find
        self._pool = ThreadPoolExecutor(threads or os.cpu_count() or 1, thread_name_prefix="cross")
        self._lock = Lock()
        self._loaded: tuple[Tokenizer, InferenceSession] | None = None

    def score(self, question: str, texts: Sequence[str]) -> Floats:
        """Return the model's logit for each text: float32 of shape (len(texts),)."""
        if not texts:
            return np.zeros(0, dtype=np.float32)
        tokenizer, session = self._load()
        pairs = tokenizer.encode_batch([(_storable(question), _storable(text)) for text in texts])

        def run(row: int) -> float:
            pair = pairs[row]
            inputs = {
                "input_ids": pair.ids,
                "attention_mask": pair.attention_mask,
                "token_type_ids": pair.type_ids,
            }
            (logits,) = session.run(None, {name: np.array([values]) for name, values in inputs.items()})
            return float(logits[0, 0])

        # The longest first, so that no thread is left with one at the end.
        order = sorted(range(len(texts)), key=lambda row: -len(pairs[row].ids))
        scores = np.zeros(len(texts), dtype=np.float32)
        scores[order] = list(self._pool.map(run, order))
        return scores

    def _load(self) -> tuple[Tokenizer, InferenceSession]:
        with self._lock:
            if self._loaded is None:
                self._loaded = _load(self._find())
            return self._loaded


def _storable(text: str) -> str:
    """Return a text that is valid UTF-8: the tokenizer refuses lone surrogates, which a question may hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _load(folder: Path) -> tuple[Tokenizer, InferenceSession]:
    from onnxruntime import InferenceSession, SessionOptions
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # a pair a thread: see CrossEncoder
    options.log_severity_level = 3  # errors
    session = InferenceSession(str(folder / MODEL_FILE), options, providers=["CPUExecutionProvider"])
    return tokenizer, session


@dataclass(frozen=True, eq=False)
class CrossRanking:
    """Passages, best first, with scores in 0..1 and what the trace tells."""

    passage_ids: list[int]
    scores: list[float]
    detail: dict[str, Any]


def rank_by_pairs(scorer: PairScorer, question: str, hits: Sequence[Hit], beside: float | None = None) -> CrossRanking:
    """Rank hits by what the scorer makes of their title and text; equal scores keep their order.

    With ``beside``, the hits' own scores are probabilities, to whose log-odds that many times the logit is added.
    """
    logits = scorer.score(question, [passage_input(hit.title, "", hit.text) for hit in hits]).astype(np.float64)
    if beside is not None:
        before = np.clip([hit.score for hit in hits], _LEAST, 1.0 - _LEAST)
        logits = np.log(before / (1.0 - before)) + beside * logits
    order = np.argsort(-logits, kind="stable").tolist()
    ids, scores = [hits[place].passage_id for place in order], (1.0 / (1.0 + np.exp(-logits[order]))).tolist()
    best = [
        {"passage_id": passage_id, "score": round(score, 4), "rank_before": hits[place].rank}
        for passage_id, score, place in list(zip(ids, scores, order, strict=True))[:_TOLD]
    ]
    return CrossRanking(ids, scores, {"model": scorer.name, "candidates": len(hits), "best": best})
