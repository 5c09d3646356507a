"""What this process is learning now, for whoever logs."""

from __future__ import annotations

from contextvars import ContextVar

job_id: ContextVar[str | None] = ContextVar("job_id", default=None)
