"""What the services of an installation wrote to standard error, held against what must not stand there."""

from __future__ import annotations

from memory_graph.errors import StoreError
from tests.integration.installation import Installation
from tests.leaks import find_leaks

SERVICES = frozenset({"up", "serve", "worker"})
KEYS = ("SHARPWAVE_ADMIN_KEY", "SHARPWAVE_GENERATOR_API_KEY")
# Shorter beginnings stand in file names and in our own words.
PREFIX_CHARS = 40
_MOST = 1000


def leaks_of(installation: Installation) -> list[str]:
    """Return where a key, the beginning of a passage or of a question stands in the logs of its services."""
    if (
        installation.environment.get("SHARPWAVE_LOG_LEVEL") == "debug"
        or "SHARPWAVE_LOG_TEXT" in installation.environment
    ):
        return []  # it was asked for
    written = {
        str(one.err): one.err.read_text("utf-8", "replace")
        for one in installation.started
        if SERVICES & set(map(str, one.process.args))  # type: ignore[arg-type]
    }
    keys = [value for name, value in installation.environment.items() if name in KEYS]
    return find_leaks(written, [*keys, *_texts(installation)])


def _texts(installation: Installation) -> list[str]:
    try:
        rows = installation.rows(f"SELECT text FROM passages LIMIT {_MOST}")
        rows += installation.rows(f"SELECT question FROM queries LIMIT {_MOST}")
    except StoreError:  # a test may have damaged the database, or left it without a schema
        return []
    return [str(text)[:PREFIX_CHARS] for (text,) in rows if len(str(text)) >= PREFIX_CHARS]
