"""What is installed: the libraries that the program depends on, and the models of the registry."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from retrieval import models
from service.installation_schemas import LibraryOut, ModelFileOut, ModelOut

DISTRIBUTION = "sharpwave"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Extras whose libraries are at work in the service; those of others are tools.
_AT_WORK = re.compile(r"extra\s*==\s*['\"](cpu|gpu)['\"]")


def list_libraries() -> list[LibraryOut]:
    """List the direct dependencies that are installed, by name; none where the program runs from its files alone."""
    try:
        wanted = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return []
    found: dict[str, str] = {}
    for requirement in wanted:
        name = _NAME.match(requirement)
        if name is None or ("extra" in requirement and not _AT_WORK.search(requirement)):
            continue
        try:
            found[name[0]] = version(name[0])
        except PackageNotFoundError:
            continue  # of another system, or of the other extra
    return [LibraryOut(name=name, version=found[name]) for name in sorted(found, key=str.lower)]


def list_models(root: Path, used: list[str]) -> list[ModelOut]:
    """List the models of the registry; nothing is hashed."""
    return [
        ModelOut(
            name=model.name,
            role=model.role,
            default=model.default,
            used=model.name in used,
            licence=model.licence,
            description=model.description,
            size=model.size,
            verified_at=_verified_at(model, root),
            files=[ModelFileOut.model_validate(file) for file in model.files],
        )
        for model in models.registry()
    ]


def _verified_at(model: models.Model, root: Path) -> datetime | None:
    if not models.is_present(model, root):
        return None
    try:
        written = (root / model.name / models.MANIFEST).stat().st_mtime
    except OSError:
        return None  # removed meanwhile
    return datetime.fromtimestamp(written, UTC)
