"""How a submitted document waits in a job's item, and how it is told from one that is known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from memory_graph.text import hash_text
from memory_graph.types import Document


def hash_document(document: Document, split: str) -> str:
    """Hash all that decides what is learned from a document; equal under the same id means already known."""
    return hash_text(
        document.title,
        document.text,
        json.dumps(dict(document.metadata), sort_keys=True, ensure_ascii=False),
        document.source or "",
        document.occurred_at.isoformat() if document.occurred_at else "",
        split,
    )


def document_to_json(document: Document) -> dict[str, object]:
    """Return a document as it is staged in a job's item."""
    return {
        "id": document.id,
        "title": document.title,
        "text": document.text,
        "metadata": dict(document.metadata),
        "source": document.source,
        "occurred_at": document.occurred_at.isoformat() if document.occurred_at else None,
    }


def document_from_json(payload: Mapping[str, object]) -> Document:
    """Return the document that ``document_to_json`` staged."""
    moment = payload["occurred_at"]
    return Document(
        id=str(payload["id"]),
        title=str(payload["title"]),
        text=str(payload["text"]),
        metadata=payload["metadata"],  # type: ignore[arg-type]
        source=None if payload["source"] is None else str(payload["source"]),
        occurred_at=datetime.fromisoformat(str(moment)) if moment else None,
    )
