"""The HTTP service: the parts are made at start-up, the routes are in ``service/api``."""

from __future__ import annotations

import logging
import os
import threading
from asyncio import create_task, get_running_loop, to_thread
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.routing import Route

from ingest.jobs import JobQueue
from memory_graph.database import Database
from memory_graph.errors import Conflict
from memory_graph.store.collections import create_collection, list_collections
from retrieval.cross_encoder import PairScorer
from retrieval.embedder import Embedder
from retrieval.facts import FactFilter
from retrieval.generator import Generator
from service import __version__
from service.api import collections, documents, forgetting, health, jobs, notes, openai, passages, queries, recall, urls
from service.auth import Gate
from service.errors import install_handlers
from service.local import announce, withdraw
from service.mcp_endpoint import McpEndpoint
from service.openai_errors import OpenAIErrors
from service.query_log import QueryLog
from service.services import Services
from service.settings import Settings
from service.wiring import make_fact_filter, open_database, open_generator, open_searcher, open_views

log = logging.getLogger(__name__)

DEFAULT_COLLECTION = "default"
# Above any request that is of use; larger files go by the command line.
MAX_BODY_BYTES = 512 * 2**20
SUPERVISOR_VARIABLE = "SHARPWAVE_SUPERVISOR_PID"


def create_app(
    settings: Settings,
    *,
    embedder: Embedder | None = None,
    generator: Generator | None = None,
    scorer: PairScorer | None = None,
    url: str | None = None,
) -> FastAPI:
    """Return the service; ``embedder``, ``generator`` and ``scorer`` replace those that the settings name.

    With ``url`` it leaves word in the data folder that it listens there, for the command line.
    """
    instance = uuid4().hex

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        from service.mcp_server import open_mcp  # imported late, as that module says

        database = await to_thread(open_database, settings)
        speaking = await to_thread(open_generator, settings) if generator is None else generator
        fact_filter = make_fact_filter(settings, speaking, get_running_loop())
        parts = await to_thread(_make_parts, settings, database, embedder, speaking, scorer, fact_filter)
        app.state.services = parts
        ensure_default_collection(database)
        parts.query_log.start()
        # Views and models are ready before the first question; the generator goes on loading behind them.
        with database.read() as connection:
            names = [collection.name for collection in list_collections(connection)]
        for name in names:
            await to_thread(parts.views.current, name)
        await to_thread(parts.searcher.warm)
        parts.views.follow()
        loading = create_task(parts.generator.check())
        if url is not None:
            announce(settings, url, instance)
        async with open_mcp(parts) as app.state.mcp:
            yield
        if url is not None:
            withdraw(settings)
        await loading
        await to_thread(parts.query_log.stop)
        await parts.generator.aclose()
        parts.jobs.close()
        await to_thread(parts.views.close)
        database.close()

    # FastAPI's own pages load their scripts from elsewhere; these work without internet.
    app = FastAPIOffline(
        title="Sharpwave",
        version=__version__,
        description="Long-term memory for a language model: passages and an entity graph, recalled with citations.",
        lifespan=lifespan,
        redoc_url=None,
        max_body_size=MAX_BODY_BYTES,
    )
    app.state.instance = instance
    install_handlers(app)
    for module in (health, collections, documents, urls, forgetting, jobs, recall, queries, notes, passages, openai):
        app.include_router(module.router)
    app.router.routes.append(Route("/mcp", endpoint=McpEndpoint(), methods=["POST"]))
    app.add_middleware(Gate, settings=settings)
    app.add_middleware(OpenAIErrors)  # outermost: what any of the others refuses must be understood too
    return app


def ensure_default_collection(database: Database) -> None:
    """Create the default collection if it is not there."""
    with suppress(Conflict), database.write() as connection:
        create_collection(connection, DEFAULT_COLLECTION, "Where documents go unless told otherwise.")


def follow_supervisor() -> None:
    """End this process when the one that supervises it is gone: a killed supervisor must not leave the port taken."""
    supervisor = os.environ.get(SUPERVISOR_VARIABLE)
    if supervisor is None:
        return

    def watch() -> None:
        while os.getppid() == int(supervisor):
            threading.Event().wait(1.0)
        os._exit(1)

    threading.Thread(target=watch, name="supervisor-watch", daemon=True).start()


def _make_parts(
    settings: Settings,
    database: Database,
    embedder: Embedder | None,
    generator: Generator,
    scorer: PairScorer | None,
    fact_filter: FactFilter | None,
) -> Services:
    views = open_views(settings, database)
    return Services(
        settings=settings,
        database=database,
        views=views,
        searcher=open_searcher(settings, database, views, embedder, scorer, fact_filter),
        generator=generator,
        jobs=JobQueue(database),
        query_log=QueryLog(database),
    )
