"""What a job would take, told before it begins."""

from __future__ import annotations

from pathlib import Path

from ingest.asking import AskParams
from ingest.estimate import Estimate, estimate_learning
from ingest.formats import ReadLimits
from ingest.jobs import file_items
from memory_graph.database import Database
from tests.unit.factories import ParagraphSplitter, find_collection, new_collection, new_job, write_lines
from tests.unit.ingest.test_openie import Memory, Reader


def _estimate(database: Database, *paths: Path, by_model: bool = True, known: bool = True) -> Estimate:
    return estimate_learning(
        database,
        find_collection(database).id if known else None,
        paths,
        ParagraphSplitter(),  # type: ignore[arg-type]
        "recursive",
        limits=ReadLimits(),
        by_model=by_model,
    )


def test_new_documents_are_estimated_and_known_ones_counted(database: Database, tmp_path: Path) -> None:
    new_collection(database)
    lines = [{"id": f"line-{n}", "text": f"Ada saw Bram {n}.\n\nBram saw Cora {n}.", "source": "s"} for n in range(4)]
    path = write_lines(tmp_path / "a.jsonl", *lines, "no JSON")
    found = _estimate(database, path)
    assert (found.documents, found.known, found.failed, found.passages, found.calls) == (4, 0, 1, 8, 16)
    new_job(database, file_items([write_lines(tmp_path / "b.jsonl", *lines[:2])]))
    opened: list[object] = []
    memory = Memory(database, opened)  # type: ignore[arg-type]
    memory.run(Reader(), params=AskParams())
    for one in opened:
        one.close()  # type: ignore[attr-defined]
    rest = _estimate(database, path)
    assert (rest.documents, rest.known, rest.passages) == (2, 2, 4)
    assert rest.prompt_tokens * 2 == found.prompt_tokens
    assert _estimate(database, path, known=False) == found


def test_without_a_language_model_there_are_passages_and_no_tokens(database: Database, tmp_path: Path) -> None:
    new_collection(database)
    path = write_lines(tmp_path / "a.jsonl", {"id": "a", "text": "Ada saw Bram."})
    assert _estimate(database, path, by_model=False) == Estimate(documents=1, passages=1)


def test_a_longer_passage_costs_more_up_to_the_bounds_of_replies() -> None:
    from ingest.extracting import PassageText
    from ingest.openie_prompts import NAMES_TOKENS, TRIPLES_TOKENS

    def cost(text: str) -> Estimate:
        return Estimate().with_passage(PassageText(document="d", title="", heading="", text=text))

    short, long, huge = (cost("word " * n) for n in (20, 200, 20_000))
    assert short.prompt_tokens < long.prompt_tokens < huge.prompt_tokens
    assert short.completion_tokens < long.completion_tokens < huge.completion_tokens == NAMES_TOKENS + TRIPLES_TOKENS
