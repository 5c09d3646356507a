"""Peers answer over the same passages and vectors, and their costs stand beside their scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from evaluation.datasets import Dataset, load_dataset
from evaluation.openie import Reading
from evaluation.peers import Corpus, measure_bm25, measure_dense, measure_triples
from memory_graph.errors import InvalidInput
from memory_graph.types import Document, Triple
from retrieval.testing import HashEmbedder
from service.cli import app
from tests.unit.factories import write_lines

PLACES = ("Lissenholt", "Dunmore", "Karravik", "Fennay", "Averoth", "Pellmoss")
PASSAGES = [
    {"id": place.casefold(), "title": place, "text": f"The founder of {place} was Ada {place[:3]}."} for place in PLACES
]


def make_set(folder: Path) -> Dataset:
    write_lines(folder / "corpus.jsonl", *PASSAGES)
    write_lines(
        folder / "questions.jsonl",
        *(
            {"id": place, "question": f"Who founded {place}?", "answers": [], "gold_ids": [place.casefold()]}
            for place in PLACES[:3]
        ),
    )
    return load_dataset(folder)


def make_corpus(dataset: Dataset) -> Corpus:
    embedder = HashEmbedder(64)
    texts = [f"{document.title}\n{document.text}" for document in dataset.documents]
    return Corpus(dataset.documents, embedder.encode(texts).astype(np.float16), embedder, 1.5)


def test_dense_and_bm25_find_what_the_question_names(tmp_path: Path) -> None:
    pytest.importorskip("bm25s", reason="the bench extra is not installed")
    dataset = make_set(tmp_path)
    corpus = make_corpus(dataset)
    dense, bm25 = measure_dense(dataset, corpus), measure_bm25(dataset, corpus)
    assert dense.retrieval.recall[2].mean == bm25.retrieval.recall[2].mean == 1.0
    assert dense.index_s == {"embed": 1.5}
    assert dense.memory_mb == pytest.approx(len(PASSAGES) * 64 * 4 / 1e6)
    assert bm25.memory_mb is not None
    assert 0 < bm25.memory_mb < 0.01
    assert (dense.llm_tokens, bm25.llm_tokens) == (0, 0)


def test_a_question_of_stop_words_alone_has_no_bm25_score_and_no_fault(tmp_path: Path) -> None:
    pytest.importorskip("bm25s", reason="the bench extra is not installed")
    dataset = make_set(tmp_path)
    write_lines(tmp_path / "questions.jsonl", {"id": "q", "question": "the?", "answers": [], "gold_ids": ["fennay"]})
    row = measure_bm25(load_dataset(tmp_path), make_corpus(dataset))
    assert row.retrieval.n_questions == 1


@pytest.mark.parametrize(("tokens", "sum_"), [(700, 700 * len(PLACES)), (None, None)])
def test_both_forms_of_the_published_ranking_score_alike(tmp_path: Path, tokens: Any, sum_: Any) -> None:
    pytest.importorskip("igraph", reason="the bench extra is not installed")
    dataset = make_set(tmp_path)
    readings = {
        place.casefold(): Reading(
            entities=(place,), triples=(Triple(f"Ada {place[:3]}", "founded", place),), tokens=tokens
        )
        for place in PLACES
    }
    theirs, ours = measure_triples(dataset, make_corpus(dataset), readings)
    assert theirs.retrieval.scores == ours.retrieval.scores
    assert set(theirs.index_s) == set(ours.index_s) == {"embed", "embed facts and phrases", "graph"}
    assert theirs.llm_tokens == ours.llm_tokens == sum_
    assert (theirs.memory_kind, ours.memory_kind) == ("resident", "arrays")
    assert ours.memory_mb is not None
    assert ours.memory_mb > len(PLACES) * 64 * 4 * 2 / 1e6


def _needs_bench() -> None:
    for module in ("bm25s", "Stemmer", "igraph"):
        pytest.importorskip(module, reason="the bench extra is not installed")


RERANKS = ("none", "chain")


def test_one_command_measures_everybody(tmp_path: Path) -> None:
    _needs_bench()
    make_set(tmp_path)
    lines = [
        {"id": one["id"], "entities": [one["title"]], "triples": [["Ada", "founded", one["title"]]]} for one in PASSAGES
    ]
    openie = write_lines(tmp_path / "openie.jsonl", *lines)
    ran = CliRunner().invoke(app, ["bench", "peers", str(tmp_path), "--openie", str(openie), "--json"])
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.stdout)
    rows = {row["name"]: row for row in found["rows"]}
    own = {f"sharpwave graph,rerank={rerank}, {made_of}" for rerank in RERANKS for made_of in ("names", "triples")}
    peers = {"dense", "BM25", "HippoRAG 2, igraph", "parity"}
    assert rows.keys() == peers | own | {"sharpwave dense, names", "sharpwave hybrid, names"}
    assert found["passages"] == len(PASSAGES)
    for row in rows.values():
        assert row["retrieval"]["recall"]["10"]["mean"] == 1.0  # there are only six passages
        assert row["retrieval"]["ms_median"] > 0
        assert row["index_total_s"] > 0
    for name, row in rows.items():
        if name.startswith("sharpwave"):
            # What the extractor's process took passed beside the rest, and views are built for nobody else before.
            assert row["index_s"].keys() >= {"read", "embed", "wait", "commit", "view"}
            assert "extract" not in row["index_s"]
            assert row["index_s"]["view"] > 0
    # The same vectors: what the memory holds is what dense search compares.
    assert rows["dense"]["retrieval"]["recall"] == rows["sharpwave dense, names"]["retrieval"]["recall"]
    assert rows["HippoRAG 2, igraph"]["retrieval"]["recall"] == rows["parity"]["retrieval"]["recall"]
    assert rows["parity"]["llm_tokens"] is None
    assert rows["sharpwave hybrid, names"]["llm_tokens"] == 0
    assert rows["sharpwave graph,rerank=chain, triples"]["llm_tokens"] is None


def test_without_triples_the_table_has_nothing_built_on_them(tmp_path: Path) -> None:
    _needs_bench()
    make_set(tmp_path)
    ran = CliRunner().invoke(app, ["bench", "peers", str(tmp_path), "--limit", "2"])
    assert ran.exit_code == 0, ran.output
    assert "2 questions" in ran.stdout
    assert "BM25" in ran.stdout
    assert "igraph" not in ran.stdout


def test_documents_that_are_split_are_refused(tmp_path: Path) -> None:
    _needs_bench()
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "a.md").write_text("Ada Quill founded a society.")
    write_lines(tmp_path / "questions.jsonl", {"id": "q", "question": "?", "answers": [], "gold_ids": ["a.md"]})
    ran = CliRunner().invoke(app, ["bench", "peers", str(tmp_path)])
    assert isinstance(ran.exception, InvalidInput)
    assert "corpus.jsonl" in ran.exception.message


def test_a_corpus_keeps_the_documents_beside_their_vectors(tmp_path: Path) -> None:
    corpus = make_corpus(make_set(tmp_path))
    assert corpus.texts[0].startswith(corpus.documents[0].title)
    assert isinstance(corpus.documents[0], Document)
    assert corpus.embed("Who?").shape == (64,)
