"""What the running service holds, made once at start-up and handed to every route."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Connection

from ingest.jobs import JobQueue
from memory_graph.database import Database
from memory_graph.errors import NotFound
from memory_graph.store.collections import get_collection
from retrieval.generator import Generator
from retrieval.search import Searcher
from retrieval.views import ViewCache
from service.access import Caller
from service.figures import Figures
from service.kept_groups import KeptGroups
from service.key_ring import KeyRing
from service.metrics import Metrics
from service.query_log import QueryLog
from service.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Services:
    """The parts behind the routes."""

    settings: Settings
    database: Database
    views: ViewCache
    searcher: Searcher
    generator: Generator
    jobs: JobQueue
    query_log: QueryLog
    keys: KeyRing
    metrics: Metrics
    figures: Figures
    groups: KeptGroups = field(default_factory=KeptGroups)


async def get_services(request: Request) -> Services:
    """Return the parts of the running service."""
    services: Services = request.app.state.services
    return services


def choose_collection(connection: Connection, caller: Caller, name: str | None) -> int | None:
    """Return the id of the collection that a list is narrowed to, if any.

    Errors: ``NotFound`` for one that does not exist, or is out of the caller's reach.
    """
    if name is None:
        return None
    if not caller.sees(name):
        raise NotFound("collection", name)
    return get_collection(connection, name).id


Parts = Annotated[Services, Depends(get_services)]
