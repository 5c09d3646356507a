"""The HTTP service: the parts are made at start-up, the routes are in ``service/api``."""

from __future__ import annotations

import logging
import os
from asyncio import create_task, get_running_loop, to_thread
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from uuid import uuid4

from anyio.to_thread import current_default_thread_limiter
from fastapi import Depends, FastAPI
from fastapi_offline import FastAPIOffline
from starlette.routing import Route

from ingest.jobs import JobQueue
from memory_graph.database import Database
from memory_graph.store.collections import list_collections
from retrieval.cross_encoder import PairScorer
from retrieval.embedder import Embedder
from retrieval.facts import FactFilter
from retrieval.generator import Generator
from service import __version__
from service.admission import Admission, Overflow, make_lines
from service.api import (
    audit,
    collections,
    corrections,
    documents,
    exporting,
    forgetting,
    health,
    inspection,
    installation,
    jobs,
    keys,
    metrics,
    notes,
    openai,
    overview,
    passages,
    queries,
    recall,
    urls,
)
from service.auth import Gate
from service.closing import Closing, Farewell
from service.dashboard.door import Door
from service.errors import install_handlers
from service.etags import Etags
from service.figures import Figures
from service.key_ring import KeyRing
from service.mcp_endpoint import McpEndpoint
from service.metrics import Metrics
from service.observed_generator import ObservedGenerator
from service.openai_errors import OpenAIErrors
from service.openapi import install_description, operation_id
from service.opening import ensure_default_collection, open_database
from service.processes import INSTANCE_VARIABLE
from service.pulse import Pulse
from service.query_log import QueryLog
from service.rates import Rates
from service.repeats import Repeats
from service.request_ids import RequestIds
from service.schemas import refuse_nul
from service.services import Services
from service.settings import Settings
from service.tracing import start_tracing, stop_tracing
from service.watching import Watch
from service.wiring import make_fact_filter, open_generator, open_searcher, open_views

log = logging.getLogger(__name__)

# Threads for what stands in no line: rows that are read, and who asks how the service is.
SPARE_THREADS = 32


def create_app(
    settings: Settings,
    *,
    embedder: Embedder | None = None,
    generator: Generator | None = None,
    scorer: PairScorer | None = None,
    closing: Closing | None = None,
) -> FastAPI:
    """Return the service; ``embedder``, ``generator`` and ``scorer`` replace those that the settings name.

    ``closing`` tells it that the process ends.
    """
    counted = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        from service.mcp_server import open_mcp  # imported late, as that module says

        _make_room(settings)
        traces = start_tracing(settings, "api")
        database = await to_thread(open_database, settings)
        opened = await to_thread(open_generator, settings) if generator is None else generator
        speaking = ObservedGenerator(opened, counted)
        fact_filter = make_fact_filter(settings, speaking, get_running_loop())
        parts = await to_thread(_make_parts, settings, database, embedder, speaking, scorer, fact_filter, counted)
        app.state.services = parts
        app.state.pulse = Pulse(parts)
        app.state.pulse.start()
        ensure_default_collection(database)
        parts.query_log.start()
        parts.keys.start()
        parts.figures.start()
        # Views and models are ready before the first question; the generator goes on loading behind them.
        with database.read() as connection:
            names = [collection.name for collection in list_collections(connection)]
        for name in names:
            await to_thread(parts.views.current, name)
        await to_thread(parts.searcher.warm)
        parts.views.follow()
        loading = create_task(parts.generator.check())
        async with open_mcp(parts) as app.state.mcp:
            yield
        # First what would be lost: closing the rest may take longer than there is time.
        await to_thread(app.state.pulse.stop)
        await to_thread(parts.query_log.stop)
        await to_thread(parts.keys.stop)
        await to_thread(parts.figures.stop)
        await loading
        await parts.generator.aclose()
        parts.jobs.close()
        await to_thread(parts.views.close)
        database.close()
        await to_thread(stop_tracing, traces)

    # FastAPI's own pages load their scripts from elsewhere; these work without internet.
    app = FastAPIOffline(
        title="Sharpwave",
        version=__version__,
        description="Long-term memory for a language model: passages and an entity graph, recalled with citations.",
        lifespan=lifespan,
        redoc_url=None,
        generate_unique_id_function=operation_id,
        dependencies=[Depends(refuse_nul)],
    )
    # One name for all processes of a service.
    app.state.instance = os.environ.get(INSTANCE_VARIABLE) or uuid4().hex
    app.state.closing = closing or Closing()
    # Questions of the dashboard stand in them as well, and do not come by these doors.
    app.state.lines, app.state.rates = make_lines(settings), Rates(settings.data_dir.expanduser() / "rates")
    install_description(app)
    install_handlers(app)
    for module in (
        health,
        collections,
        documents,
        exporting,
        urls,
        forgetting,
        jobs,
        recall,
        queries,
        notes,
        passages,
        inspection,
        corrections,
        keys,
        audit,
        metrics,
        overview,
        installation,
        openai,
    ):
        app.include_router(module.router)
    app.router.routes.append(Route("/mcp", endpoint=McpEndpoint(), methods=["POST"]))
    # Added from the inside out: the last one sees a request first.
    app.add_middleware(Door)
    app.add_middleware(Etags)
    app.add_middleware(Repeats)
    # Within the gate: who may not ask takes nobody's place.
    app.add_middleware(Admission, settings=settings, lines=app.state.lines)
    app.add_middleware(Gate, settings=settings, rates=app.state.rates)
    app.add_middleware(Overflow, lines=app.state.lines)
    app.add_middleware(OpenAIErrors)  # outermost: what any of the others refuses must be understood too
    app.add_middleware(Farewell, closing=app.state.closing)
    app.add_middleware(Watch, metrics=counted)
    app.add_middleware(RequestIds)
    return app


def _make_room(settings: Settings) -> None:
    """Have a thread for whatever the lines let in, so that nothing waits where nobody sees it."""
    at_once = settings.searches_at_once + settings.answers_at_once + settings.writes_at_once
    current_default_thread_limiter().total_tokens = at_once + SPARE_THREADS
    get_running_loop().set_default_executor(ThreadPoolExecutor(at_once + SPARE_THREADS, "loop"))


def _make_parts(
    settings: Settings,
    database: Database,
    embedder: Embedder | None,
    generator: Generator,
    scorer: PairScorer | None,
    fact_filter: FactFilter | None,
    counted: Metrics,
) -> Services:
    views = open_views(settings, database)
    searcher = open_searcher(settings, database, views, embedder, scorer, fact_filter)
    searcher.listener = counted.note_search
    return Services(
        settings=settings,
        database=database,
        views=views,
        searcher=searcher,
        generator=generator,
        jobs=JobQueue(database),
        keys=KeyRing(database, settings.admin_key.get_secret_value()),
        query_log=QueryLog(database, counted.note_answer),
        metrics=counted,
        figures=Figures(settings, database, counted.recent),
    )
