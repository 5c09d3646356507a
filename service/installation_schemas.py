"""The shapes of what an installation is made of, and of its examination."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from service.schemas import Out


class SchemaOut(Out):
    state: str = Field(description="`current`, `older` or `newer` than this program's")
    revision: str | None


class LibraryOut(Out):
    name: str
    version: str


class ModelFileOut(Out):
    path: str
    size: int = Field(description="Bytes")
    sha256: str


class ModelOut(Out):
    """A model of the registry; ``verified_at`` is when all its bytes were found right, null where it is not here."""

    name: str
    role: str
    default: bool
    used: bool = Field(description="Whether the settings call for it")
    licence: str
    description: str
    size: int = Field(description="Bytes")
    verified_at: datetime | None
    files: list[ModelFileOut]


class InstallationDetailOut(Out):
    version: str
    python: str
    database: str = Field(description="`sqlite` or `postgresql`")
    database_schema: SchemaOut
    libraries: list[LibraryOut] = Field(description="What the program depends on, as it is installed")
    models_folder: str
    models: list[ModelOut]


class CheckResultOut(Out):
    check: str
    ok: bool
    detail: str = Field(description="What was found; where it is not ok, how to mend it")


class DoctorOut(Out):
    ok: bool
    checks: list[CheckResultOut]
