"""CSV and its kin: rows as pieces of a Markdown table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from ingest.formats.converted import Converted
from ingest.formats.limits import ReadLimits, join_blocks
from ingest.formats.tables import render_table
from memory_graph.errors import UnreadableDocument

DELIMITERS = ",;\t|"
LOOK_CHARS = 64_000  # where the delimiter is looked for
MAX_FIELD_CHARS = 1_000_000  # a quote that is never closed must not make one field of the rest of a file


def convert_csv(name: str, text: str, limits: ReadLimits) -> Converted:
    """Return a table; its first row is the head."""
    return Converted(text=join_blocks(name, render_table(_read_rows(name, text)), limits))


def find_delimiter(text: str) -> str:
    """Return the mark that parts the first rows into equally many columns, the most of them; a comma if none does."""
    lines = [line for line in text[:LOOK_CHARS].split("\n")[:20] if line.strip()]
    best, best_columns = ",", 1
    for delimiter in DELIMITERS:
        counts = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        columns = min(counts, default=1)
        if columns > best_columns:
            best, best_columns = delimiter, columns
    return best


def _read_rows(name: str, text: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=find_delimiter(text))
    except csv.Error as error:
        message = f"is not a table: {error}. A quote may be missing; write the table again."
        raise UnreadableDocument(name, "damaged", message) from None


csv.field_size_limit(MAX_FIELD_CHARS)
