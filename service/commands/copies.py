"""How a job's copies are told in the terminal."""

from __future__ import annotations

from service.learning_schemas import JobOut

MAX_SHOWN = 20


def describe_copies(job: JobOut) -> list[str]:
    """Return the lines that say which documents of a job are copies of others; none where there are none."""
    progress = job.progress
    if not progress.exact + progress.near:
        return []
    lines = [f"Copies: {progress.exact} exact, {progress.near} near; {progress.skipped} of these were skipped."]
    lines += [f"  {one.document_id} is {_AS[one.kind]} {one.duplicate_of}" for one in job.skipped[:MAX_SHOWN]]
    if progress.skipped > MAX_SHOWN:
        lines.append(f"  … `sharpwave jobs show {job.id} --json` lists more.")
    return lines


_AS = {"exact": "the same as", "near": "nearly the same as"}
