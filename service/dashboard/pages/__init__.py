"""The pages of the dashboard, one a file."""

from __future__ import annotations

from service.dashboard.pages import ask, documents, jobs, notes, overview, passages, questions

__all__ = ["ask", "documents", "jobs", "notes", "overview", "passages", "questions"]
