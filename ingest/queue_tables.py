"""The tables of DBOS, in the same database as everything else."""

from __future__ import annotations

from memory_graph.database import Database


def prepare_queue(database: Database) -> None:
    """Create or upgrade DBOS's own tables. Errors: ``StoreUnavailable``, ``StoreBusy``."""
    from dbos import DBOS  # late: half a second, and only a new database needs it

    with database.named_errors():
        DBOS.migrate(database.url.render_as_string(hide_password=False))
