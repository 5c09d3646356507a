"""Run files: rankings and judgements in the format of TREC, for other tools to score."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from evaluation.retrieval_eval import RankedQuestion, RetrievalReport
from ingest.files import show_path
from memory_graph.errors import InvalidInput

# What separates columns and lines for anybody, what no terminal shows, and the sign that the escapes begin with.
_ESCAPED = re.compile(r"[\s%\x00-\x1f\x7f-\x9f]")


def write_runs(folder: Path, reports: Sequence[RetrievalReport]) -> list[Path]:
    """Write ``SET.WAY.run`` for each report of one set and ``SET.qrels``; returns the paths.

    A file takes its name when it is whole, and replaces one of that name. The columns have no heading:

    - run: question id, ``Q0``, document id, rank from 1, score, way. The score is 1/rank, because scorers sort by it
      and two documents may have the same score in a search.
    - qrels: question id, ``0``, document id, ``1`` for gold; other documents are not gold.

    White space, control characters and ``%`` in ids and ways are percent-encoded as UTF-8 (``old letter.md`` is
    ``old%20letter.md``), so that columns can be told apart; ``urllib.parse.unquote`` gives them back.
    Errors: ``InvalidInput`` where the folder cannot be made or written to.
    """
    make_folder(folder)
    written = []
    for report in reports:
        path = folder / f"{report.dataset}.{report.way}.run"
        written.append(_write(path, _run_lines(report)))
    judged = reports[0]
    written.append(_write(folder / f"{judged.dataset}.qrels", _judgement_lines(judged.rows)))
    return written


def make_folder(folder: Path) -> None:
    """Make the folder for run files where it is not there yet; errors: ``InvalidInput``."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _explain(folder, error) from None
    if not os.access(folder, os.W_OK):
        raise InvalidInput("runs", f"{show_path(folder)}: this user may not write here. Name another folder.")


def encode_id(id: str) -> str:
    """Return an id as one column."""
    return _ESCAPED.sub(lambda found: quote(found[0], safe=""), id)


def _run_lines(report: RetrievalReport) -> Iterable[str]:
    tag = encode_id(report.way)
    for row in report.rows:
        for rank, document in enumerate(row.ranked, start=1):
            yield f"{encode_id(row.id)} Q0 {encode_id(document)} {rank} {1 / rank:.6f} {tag}\n"


def _judgement_lines(rows: Iterable[RankedQuestion]) -> Iterable[str]:
    return (f"{encode_id(row.id)} 0 {encode_id(gold_id)} 1\n" for row in rows for gold_id in row.gold_ids)


def _write(path: Path, lines: Iterable[str]) -> Path:
    aside = path.with_name(f".{path.name}-{uuid4().hex}")
    try:
        with aside.open("x", encoding="utf-8", newline="\n") as file:
            file.writelines(lines)
        os.replace(aside, path)
    except OSError as error:
        raise _explain(path, error) from None
    finally:
        aside.unlink(missing_ok=True)
    return path


def _explain(path: Path, error: OSError) -> InvalidInput:
    return InvalidInput(
        "runs", f"{show_path(path)} cannot be written ({error.strerror or error}). Name another folder."
    )
