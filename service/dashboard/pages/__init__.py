"""The pages of the dashboard, one a file."""

from __future__ import annotations

from service.dashboard.pages import (
    ask,
    compare,
    document,
    documents,
    graph,
    jobs,
    keys,
    notes,
    overview,
    passages,
    questions,
    settings,
)

__all__ = [
    "ask",
    "compare",
    "document",
    "documents",
    "graph",
    "jobs",
    "keys",
    "notes",
    "overview",
    "passages",
    "questions",
    "settings",
]
