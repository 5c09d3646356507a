"""``eval ablations`` and ``eval sweep``: what each ingredient of a search is worth, and other values of parameters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from evaluation.ablations import ablate_ranker, ablate_walk
from evaluation.study_report import Cells, lay_out, list_ablations, list_tried, to_markdown
from evaluation.sweep import sweep
from memory_graph.errors import InvalidInput
from service.commands.output import AsJson, out, print_json
from service.commands.taught import show_stages, teach

Folders: TypeAlias = Annotated[list[Path], typer.Argument(metavar="FOLDER…", help="Sets to ask.")]
AsMarkdown: TypeAlias = Annotated[bool, typer.Option("--markdown", help="Print the tables as Markdown.")]


def ablations(
    folders: Folders,
    ranker: Annotated[bool, typer.Option(help="The chain ranker too: it is learned a dozen times.")] = True,
    markdown: AsMarkdown = False,
    as_json: AsJson = False,
) -> None:
    """Leave out each ingredient of a search, and say what that costs."""
    if ranker and find_spec("lightgbm") is None:
        raise InvalidInput("eval ablations", "needs LightGBM: pip install 'sharpwave[bench]', or --no-ranker")
    with teach(folders, remake=True) as (sets, embedder), show_stages() as show:
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
    _print(list(list_ablations(tables).values()), markdown)


def sweep_parameters(folders: Folders, markdown: AsMarkdown = False, as_json: AsJson = False) -> None:
    """Try other values of the parameters of a search, one at a time."""
    with teach(folders) as (sets, embedder), show_stages() as show:
        found = sweep(sets, embedder.encode, show)
    if as_json:
        print_json(json.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False))
        return
    _print([list_tried(found)], markdown)


def _print(tables: Sequence[Cells], markdown: bool) -> None:
    if markdown:
        out.file.write("\n".join(map(to_markdown, tables)))
        return
    for cells in tables:
        out.print(lay_out(cells))
