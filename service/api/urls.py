"""Documents by their addresses: web pages and objects in stores, fetched by the worker."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from ingest.sources import address_items, parse_address
from memory_graph.errors import InvalidInput
from service.access import WRITES, Asking
from service.learning_schemas import JobRef, UrlsIn
from service.services import Parts
from service.submitting import submit
from service.wiring import source_params

router = APIRouter(prefix="/v1/collections/{collection}", tags=["documents"])


@router.post("/urls", status_code=202, dependencies=[WRITES])
async def learn_urls(collection: str, body: UrlsIn, parts: Parts, caller: Asking) -> JobRef:
    """Learn documents from the web or from stores, where the settings allow it; an address becomes the id.

    An address that is malformed or not allowed refuses the request; what cannot be fetched is listed with the job.
    """
    params = source_params(parts.settings)
    first: dict[str, int] = {}
    addresses = []
    for index, url in enumerate(body.urls):
        address = parse_address(url, params, f"urls.{index}")
        earlier = first.setdefault(str(address), index)
        if earlier != index:
            raise InvalidInput(f"urls.{index}", f"is the same as urls.{earlier}: {address}")
        addresses.append(address)
    submitted = await asyncio.to_thread(
        submit,
        parts,
        caller,
        collection,
        address_items(addresses),
        split=body.split,
        duplicates=body.duplicates,
        priority=body.priority,
    )
    return JobRef(job_id=submitted.job_id)
