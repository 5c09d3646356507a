"""Ablations and sweeps as tables for people: rows of cells, laid out in the terminal or as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from evaluation.ablations import Ablation
from evaluation.asked import KS
from evaluation.report import format_difference, make_markdown_table
from evaluation.sweep import Tried

Cells = list[list[str]]
"""A table: the names of its columns, then its rows. All columns but the first hold numbers."""


def list_ablations(found: Mapping[str, Mapping[str, Sequence[Ablation]]]) -> dict[str, Cells]:
    """Return a table for each kind of question from the ablations of several rankings, in per cent and points."""
    tables: dict[str, Cells] = {}
    for by_kind in found.values():
        for kind, rows in by_kind.items():
            number = next(iter(rows[0].recall.values())).n
            header = [f"{kind} ({number})", *(f"@{k}" for k in KS), *(f"difference @{k}" for k in KS)]
            cells = tables.setdefault(kind, [header])
            for one in rows:
                differences = (format_difference(one.differences[k]) if one.differences else "" for k in KS)
                cells.append([one.name, *(f"{one.recall[k].mean * 100:.1f}" for k in KS), *differences])
    return tables


def list_tried(found: Sequence[Tried]) -> Cells:
    """Return a row a value, with recall at 2, 5 and 10 of each kind of question in per cent; defaults are marked."""
    kinds = {kind: next(iter(by_k.values())).n for kind, by_k in found[0].recall.items()}
    cells = [["recall @2 / @5 / @10", *(f"{kind} ({number})" for kind, number in kinds.items())]]
    for one in found:
        recall = (" / ".join(f"{by_k[k].mean * 100:.1f}" for k in KS) for by_k in one.recall.values())
        cells.append([f"{one.parameter} {one.value:g}{' (default)' if one.is_default else ''}", *recall])
    return cells


def lay_out(cells: Cells) -> Table:
    """Return a table for the terminal."""
    table = Table()
    header, *rows = cells
    for place, name in enumerate(header):
        table.add_column(Text(name), justify="right" if place else "left", no_wrap=place > 0)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def to_markdown(cells: Cells) -> str:
    """Return a table as Markdown."""
    return make_markdown_table(cells, texts=1)
