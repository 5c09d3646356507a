"""Puts the parts together from the settings; nothing else knows which implementation stands behind a protocol."""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from ingest.asking import AskParams
from ingest.extracting import JobExtractor
from ingest.extraction import ExtractionParams, Extractor, SpacyExtractor
from ingest.extraction_pool import ExtractionPool, PooledExtraction
from ingest.fetching import FetchParams
from ingest.formats import ReadLimits
from ingest.openie import ModelExtractor
from ingest.pipeline import Learner, PipelineParams
from ingest.purging import Purger
from ingest.sources import SourceParams, Sources
from ingest.splitter import SplitParams, Splitter
from ingest.upkeep import Upkeep
from ingest.worker import Worker
from memory_graph.database import Database
from memory_graph.errors import InvalidInput
from memory_graph.store.retention import LogLimits
from retrieval import models
from retrieval.answer import AnswerParams
from retrieval.batching import BatchingEmbedder, BatchParams
from retrieval.breaker import BreakerParams
from retrieval.chains import ChainParams
from retrieval.cross_encoder import CrossEncoder, PairScorer
from retrieval.embedded import EmbeddedGenerator
from retrieval.embedder import Embedder, SentenceTransformerEmbedder
from retrieval.fact_filter import GeneratorFactFilter
from retrieval.facts import FactFilter
from retrieval.generator import ClientParams, Generator
from retrieval.ranker import read_ranker
from retrieval.reorder import Order
from retrieval.search import Searcher
from retrieval.views import ViewCache, ViewParams
from service.settings import Settings

log = logging.getLogger(__name__)

MB = 2**20
CONTEXT_TOKENS = 4096
LANGUAGE_MODEL = "llm"
# What one commit brings costs money here: it is kept small, so that a job that stops has shown what it spent.
MODEL_BATCH = 32
# Nobody waits for the reply, and it may be long.
EXTRACTION_TIMEOUT_S = 300.0
# On a CPU the time of an answer is that of reading: half of it is saved, and the small model errs less.
EMBEDDED_SENTENCES = 2


def find_model(settings: Settings, name: str, progress: models.Progress | None = None) -> Path:
    """Return what a model's loader is given; pulls the model first where it is not in the cache."""
    model, root = models.find(name), models.models_dir()
    if not models.is_present(model, root):
        log.info("fetching the model %s, %.0f MB", name, model.size / MB)
    models.ensure(model, root, progress=progress, offline=settings.offline)
    return models.locate(model, root)


def open_embedder(settings: Settings) -> Embedder:
    """Load the embedder."""
    folder = find_model(settings, settings.embedder)
    return SentenceTransformerEmbedder(folder, name=settings.embedder, threads=settings.threads)


def find_reranker(settings: Settings) -> models.Model:
    """Return the reranker that the settings name; errors: ``InvalidInput`` for a name that is no reranker's."""
    known = {model.name: model for model in models.registry() if model.role == "reranker"}
    if settings.reranker not in known:
        raise InvalidInput("SHARPWAVE_RERANKER", f"must be one of {', '.join(known)}, not {settings.reranker!r}.")
    return known[settings.reranker]


def open_reranker(settings: Settings) -> PairScorer:
    """Return the cross-encoder, which is loaded when it is first used; what is not in the cache is not fetched then.

    Errors: ``InvalidInput`` for a name that is no reranker's; ``ModelMissing`` or ``ModelCorrupted`` when it is used.
    """
    model = find_reranker(settings)

    def find() -> Path:
        root = models.models_dir()
        models.verify(model, root)  # every byte, which takes less than loading does
        return models.locate(model, root)

    return CrossEncoder(find, name=model.name, threads=settings.threads)


def open_searcher(
    settings: Settings,
    database: Database,
    views: ViewCache | None = None,
    embedder: Embedder | None = None,
    scorer: PairScorer | None = None,
    fact_filter: FactFilter | None = None,
) -> Searcher:
    """Make what searches: with the settings' embedder, ranker and reranker, unless another one is given.

    Errors: ``InvalidInput`` for weights of the ranker that cannot be read, or a reranker that is none.
    """
    scorer = scorer or open_reranker(settings)  # first, because it may refuse and loads nothing yet
    return Searcher(
        database,
        views or open_views(settings, database),
        BatchingEmbedder(embedder or open_embedder(settings), BatchParams(runners=settings.threads)),
        chains=ChainParams(looks=settings.ranker_looks),
        ranker=read_ranker(settings.ranker) if settings.ranker else None,
        scorer=scorer,
        fact_filter=fact_filter,
    )


def make_fact_filter(settings: Settings, generator: Generator, loop: AbstractEventLoop) -> FactFilter | None:
    """Return the filter of facts that asks a generator on its loop, or None where none is wanted."""
    return GeneratorFactFilter(generator, loop) if settings.filter_facts else None


def open_generator(settings: Settings) -> Generator:
    """Make the generator: servers that speak the OpenAI API where some are set, else the embedded model.

    Errors: ``InvalidInput`` for an address that is none.
    """
    params = ClientParams(
        total_timeout_s=settings.generator_timeout_s,
        retries=settings.generator_retries,
        max_calls=settings.generator_max_calls,
        breaker=BreakerParams(failures=settings.generator_breaker_failures, rest_s=settings.generator_breaker_rest_s),
    )
    if urls := settings.generator_urls:
        from retrieval.openai_client import OpenAIGenerator  # imported late, as that module says

        key = settings.generator_api_key.get_secret_value()
        return OpenAIGenerator(urls, settings.generator_model, key, params=params)
    name = settings.generator_model or models.default_for("generator").name
    return EmbeddedGenerator(find_model(settings, name), settings.threads, CONTEXT_TOKENS, params=params)


def open_views(settings: Settings, database: Database) -> ViewCache:
    """Return the views of the database's collections, none loaded yet."""
    waits = max(1, settings.searches_at_once // 2)  # who waits for what never comes leaves room for the others
    params = ViewParams(memory_bytes=settings.view_memory_mb * MB, waits=waits)
    return ViewCache(database, settings.views_dir, params)


def answer_params(settings: Settings, order: Order = "edges") -> AnswerParams:
    """Return how answers are made: the small embedded model reads a few sentences of each passage, a server all."""
    sentences = None if settings.generator_url else EMBEDDED_SENTENCES
    return AnswerParams(order=order, max_tokens=settings.generator_max_tokens, sentences=sentences)


def make_learner(
    settings: Settings,
    database: Database,
    embedder: Embedder | None = None,
    params: PipelineParams | None = None,
    extractor: Callable[[], Extractor] | None = None,
) -> Callable[[], Learner]:
    """Return a function that loads what learning needs, once it is called; ``extractor`` stands in for spaCy's."""

    def build() -> Learner:
        by_model = extractor is None and settings.extractor == LANGUAGE_MODEL
        how = params or PipelineParams(batch_passages=MODEL_BATCH if by_model else PipelineParams.batch_passages)
        extraction: JobExtractor
        if by_model:
            extraction = model_extractor(settings, database)
        else:
            made_by = "given" if extractor else f"{settings.extractor} facts={settings.extract_facts}"
            extraction = PooledExtraction(ExtractionPool(extractor or spacy_extractor(settings)), made_by)
        return Learner(
            database,
            embedder or open_embedder(settings),
            extraction,
            open_splitters(settings),
            limits=read_limits(settings),
            # Facts read off verbs neither helped nor harmed; those of a language model help.
            params=replace(how, embed_facts=by_model or extractor is not None, embed_phrases=settings.join_synonyms),
            sources=Sources(database, source_params(settings)),
        )

    return build


def open_splitters(settings: Settings) -> dict[str, Splitter]:
    """Return what cuts documents into passages, by the way of cutting."""
    tokenizer = find_model(settings, settings.embedder) / "tokenizer.json"
    return {mode: Splitter(tokenizer, SplitParams(mode=mode)) for mode in ("recursive", "none")}


def read_limits(settings: Settings) -> ReadLimits:
    """Return how large what is read may be, and what reading it may take."""
    return ReadLimits(
        max_file_bytes=settings.max_file_mb * MB,
        max_pages=settings.max_file_pages,
        max_seconds=settings.max_file_seconds,
        max_memory_bytes=settings.max_file_memory_mb * MB,
        max_expanded_bytes=settings.max_unpacked_mb * MB,
        max_ratio=settings.max_unpacked_ratio,
        max_archive_bytes=settings.max_archive_mb * MB,
        max_members=settings.max_archive_files,
        max_nesting=settings.max_archive_depth,
    )


def source_params(settings: Settings) -> SourceParams:
    """Return what may be read from the web and from stores."""
    return SourceParams(
        fetch=FetchParams(hosts=settings.host_rules, total_s=settings.url_timeout_s), stores=settings.store_rules
    )


def model_extractor(settings: Settings, database: Database) -> ModelExtractor:
    """Return the extractor that asks the generator for names and facts."""
    patient = settings.model_copy(
        update={"generator_timeout_s": max(settings.generator_timeout_s, EXTRACTION_TIMEOUT_S)}
    )
    # The embedded model answers one call at a time; more would only wait, and be given up.
    concurrency = settings.extraction_concurrency if settings.generator_url else 1
    params = AskParams(concurrency=concurrency, max_tokens=settings.extraction_tokens)
    return ModelExtractor(database, partial(open_generator, patient), params)


def spacy_extractor(settings: Settings) -> Callable[[], Extractor]:
    """Return what makes the extractor of names and verbs, in whatever process it is called."""
    if settings.extractor == LANGUAGE_MODEL:
        raise InvalidInput("SHARPWAVE_EXTRACTOR", "must name a model of the role nlp here")
    model = find_model(settings, settings.extractor)
    return partial(SpacyExtractor, model, ExtractionParams(facts=settings.extract_facts))


def make_worker(settings: Settings, database: Database) -> Worker:
    """Return a worker of this process, not yet started."""
    upkeep = make_upkeep(settings, database)
    return Worker(database, make_learner(settings, database), upkeep, collection_workers=settings.collection_workers)


def make_purger(settings: Settings, database: Database) -> Purger:
    """Return what carries out purges."""
    return Purger(database, settings.views_dir)


def make_upkeep(settings: Settings, database: Database) -> Upkeep:
    """Return what a worker does beside its jobs."""
    limits = LogLimits(
        question_days=settings.keep_questions_days,
        job_days=settings.keep_jobs_days,
        tombstone_days=settings.keep_tombstones_days,
        audit_days=settings.keep_audit_days,
    )
    return Upkeep(database, make_purger(settings, database), limits)
