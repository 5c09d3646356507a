"""``ingest --estimate``: what a job would take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ingest.estimate import estimate_learning
from memory_graph.database import Database
from memory_graph.errors import NotFound
from memory_graph.store.collections import get_collection
from service.commands.output import out, print_json
from service.settings import Settings
from service.wiring import LANGUAGE_MODEL, open_splitters, read_limits


def report_estimate(
    settings: Settings, database: Database, collection: str, paths: Sequence[Path], split: str, *, as_json: bool
) -> None:
    """Print how much of these files is new, and what a language model would need to read it."""
    by_model = settings.extractor == LANGUAGE_MODEL
    found = estimate_learning(
        database,
        _find(database, collection),
        paths,
        open_splitters(settings)[split],
        split,
        limits=read_limits(settings),
        by_model=by_model,
    )
    if as_json:
        print_json(json.dumps(asdict(found), indent=2))
        return
    out.print(
        f"{found.documents:,} documents with {found.passages:,} passages to learn; {found.known:,} known already, "
        f"{found.failed:,} cannot be read."
    )
    if by_model:
        out.print(
            f"About {found.prompt_tokens:,} tokens of prompts and {found.completion_tokens:,} of replies, in up to "
            f"{found.calls:,} calls."
        )
    else:
        out.print("No language model reads them (SHARPWAVE_EXTRACTOR).")


def _find(database: Database, collection: str) -> int | None:
    try:
        with database.read() as connection:
            return get_collection(connection, collection).id
    except NotFound:
        return None
