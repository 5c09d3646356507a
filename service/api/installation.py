"""What the installation is made of, and whether it is whole."""

from __future__ import annotations

import platform
from typing import Annotated

from fastapi import APIRouter, Query

from memory_graph.database import schema_revision, schema_state
from retrieval import models
from service import __version__
from service.access import OPERATES
from service.doctor import Examined, examine, models_in_use
from service.installation_schemas import CheckResultOut, DoctorOut, InstallationDetailOut, SchemaOut
from service.parts_list import list_libraries, list_models
from service.services import Parts

router = APIRouter(prefix="/v1", tags=["installation"])


@router.get("/installation", dependencies=[OPERATES])
def show(parts: Parts) -> InstallationDetailOut:
    """Return the versions of the program, its libraries and its schema, and the models with their files."""
    root = models.models_dir()
    return InstallationDetailOut(
        version=__version__,
        python=platform.python_version(),
        database=parts.database.url.get_backend_name(),
        database_schema=SchemaOut(state=schema_state(parts.database), revision=schema_revision(parts.database)),
        libraries=list_libraries(),
        models_folder=str(root),
        models=list_models(root, models_in_use(parts.settings)),
    )


@router.post("/doctor", dependencies=[OPERATES])
async def run(
    parts: Parts,
    check: Annotated[list[str] | None, Query(description="Only these checks, such as `models`")] = None,
) -> DoctorOut:
    """Examine the running service, as `sharpwave doctor` does; hashing the models takes some seconds."""
    examined = Examined(settings=parts.settings, database=parts.database, generator=parts.generator)
    results = await examine(examined, check or ())
    return DoctorOut(ok=all(one.ok for one in results), checks=[CheckResultOut.model_validate(one) for one in results])
