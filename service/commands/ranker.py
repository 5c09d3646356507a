"""``eval ranker``: learn the chain ranker's weights from question sets, and say what they are worth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from evaluation.asked import Scores
from evaluation.datasets import load_dataset
from evaluation.ranker_training import TrainingParams, train
from evaluation.report import format_estimate
from memory_graph.errors import InvalidInput, SharpwaveError
from service import __version__
from service.commands.output import AsJson, out, print_json
from service.commands.taught import show_stages, teach


def ranker(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER…", help="Sets to learn from.")],
    target: Annotated[
        Path | None, typer.Option("--out", help="Write the weights here; a file that is there is replaced.")
    ] = None,
    licences: Annotated[
        list[str] | None,
        typer.Option("--licence", help="NAME=LICENCE of a set, to be written beside the weights; may be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Learn the weights of the chain ranker, and score them on questions that they were not learned from."""
    if find_spec("lightgbm") is None:
        raise InvalidInput("eval ranker", "needs LightGBM: pip install 'sharpwave[bench]'")
    told, params = _read_licences(licences or [], [load_dataset(folder).name for folder in folders]), TrainingParams()
    with teach(folders) as (sets, embedder), show_stages() as show:
        found, scores = train(sets, embedder.encode, params=params, progress=show)
    provenance = {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "sharpwave": __version__,
        "embedder": embedder.name,
        "sets": [
            {
                "name": one.name,
                "questions": len(one.questions),
                "licence": told.get(one.name, "not told"),
                "questions_sha256": sha256((folder / "questions.jsonl").read_bytes()).hexdigest(),
            }
            for folder, one in zip(folders, sets, strict=True)
        ],
        "training": asdict(params),
        "recall_of_unseen_questions": [_plain(one) for one in scores],
    }
    weights = {**found.to_json(), "provenance": provenance}
    if target is not None:
        _write(target, json.dumps(weights, indent=None, separators=(",", ":"), ensure_ascii=False) + "\n")
    if as_json:
        print_json(json.dumps(provenance, indent=2, ensure_ascii=False))
        return
    for table in _tabulate(scores):
        out.print(table)
    if target is not None:
        out.print(f"wrote {target}", markup=False)


def _read_licences(told: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in told:
        name, equals, licence = one.partition("=")
        if not equals or name not in names or not licence.strip():
            raise InvalidInput("--licence", f"must be NAME=LICENCE of one of ({', '.join(names)}): {one!r}")
        found[name] = licence.strip()
    return found


def _write(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise SharpwaveError(f"--out: {path} cannot be written ({error.strerror or error})") from error


def _plain(scores: Scores) -> dict[str, Any]:
    return {
        "way": scores.name,
        "recall": {
            kind: {str(k): round(estimate.mean, 4) for k, estimate in by_k.items()}
            for kind, by_k in scores.recall.items()
        },
    }


def _tabulate(scores: Sequence[Scores]) -> list[Table]:
    """Lay out a table for each kind of question, a row a way of ranking."""
    tables = []
    for kind, by_k in scores[0].recall.items():
        questions = next(iter(by_k.values())).n
        table = Table(title=f"{kind} ({questions} questions), of questions not learned from")
        table.add_column("% [95 % interval]")
        for k in by_k:
            table.add_column(f"recall@{k}", justify="right")
        for one in scores:
            table.add_row(one.name, *(format_estimate(estimate) for estimate in one.recall[kind].values()))
        tables.append(table)
    return tables
