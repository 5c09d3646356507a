"""What the running service holds, made once at start-up and handed to every route."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from ingest.jobs import JobQueue
from memory_graph.database import Database
from retrieval.generator import Generator
from retrieval.search import Searcher
from retrieval.views import ViewCache
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
    metrics: Metrics


def get_services(request: Request) -> Services:
    """Return the parts of the running service."""
    services: Services = request.app.state.services
    return services


Parts = Annotated[Services, Depends(get_services)]
