"""``eval ablations`` and ``eval sweep``: what each ingredient of a search is worth, and other values of parameters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from rich.table import Table
from rich.text import Text

from evaluation.ablations import Ablation, ablate_ranker, ablate_walk
from evaluation.ranker_training import KS
from evaluation.report import format_difference, format_estimate
from evaluation.sweep import Tried, sweep
from memory_graph.errors import InvalidInput
from service.commands.output import AsJson, out, print_json
from service.commands.taught import show_stages, teach

Folders: TypeAlias = Annotated[list[Path], typer.Argument(metavar="FOLDER…", help="Sets to ask.")]


def ablations(
    folders: Folders,
    ranker: Annotated[bool, typer.Option(help="The chain ranker too: it is learned a dozen times.")] = True,
    as_json: AsJson = False,
) -> None:
    """Leave out each ingredient of a search, and say what that costs."""
    if ranker and find_spec("lightgbm") is None:
        raise InvalidInput("eval ablations", "needs LightGBM: pip install 'sharpwave[bench]', or --no-ranker")
    with teach(folders) as (sets, embedder), show_stages() as show:
        tables = {"walk": ablate_walk(sets, embedder.encode)}
        if ranker:
            tables["chain"] = ablate_ranker(sets, embedder.encode, progress=show)
    if as_json:
        plain = {
            name: {kind: [asdict(one) for one in rows] for kind, rows in by_kind.items()}
            for name, by_kind in tables.items()
        }
        print_json(json.dumps(plain, indent=2, ensure_ascii=False))
        return
    for by_kind in tables.values():
        for kind, rows in by_kind.items():
            out.print(_tabulate_ablations(kind, rows))


def sweep_parameters(folders: Folders, as_json: AsJson = False) -> None:
    """Try other values of the parameters of a search, one at a time."""
    with teach(folders) as (sets, embedder), show_stages() as show:
        found = sweep(sets, embedder.encode, show)
    if as_json:
        print_json(json.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False))
        return
    out.print(_tabulate_sweep(found))


def _tabulate_ablations(kind: str, rows: Sequence[Ablation]) -> Table:
    questions = next(iter(rows[0].recall.values())).n
    table = Table(title=Text(f"{kind} ({questions} questions), % and points [95 % interval]"))
    table.add_column("ranked by")
    for k in KS:
        table.add_column(f"@{k}", justify="right")
    for k in KS:
        table.add_column(f"difference @{k}", justify="right", no_wrap=True)
    for one in rows:
        scores = (format_estimate(one.recall[k]).split(" ")[0] for k in KS)
        table.add_row(
            one.name, *scores, *(format_difference(one.differences[k]) if one.differences else "" for k in KS)
        )
    return table


def _tabulate_sweep(found: Sequence[Tried]) -> Table:
    """Lay out a row a value, recall at 2, 5 and 10 of each kind of question; the defaults are marked."""
    table = Table(title=Text("Recall @2 / @5 / @10, %"))
    table.add_column("parameter")
    table.add_column("value", justify="right")
    for kind in found[0].recall:
        table.add_column(Text(kind), justify="right", no_wrap=True)
    for before, one in zip([None, *found], found, strict=False):
        first = before is None or before.parameter != one.parameter
        cells = (" / ".join(f"{by_k[k].mean * 100:.1f}" for k in KS) for by_k in one.recall.values())
        table.add_row(
            one.parameter if first else "",
            f"{one.value:g}{' (default)' if one.is_default else ''}",
            *cells,
            end_section=one is found[-1] or found[found.index(one) + 1].parameter != one.parameter,
        )
    return table
