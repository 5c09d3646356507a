"""Puts the parts together from the settings; nothing else knows which implementation stands behind a protocol."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from ingest.extraction import ExtractionParams, Extractor, SpacyExtractor
from ingest.extraction_pool import ExtractionPool
from ingest.formats import ReadLimits
from ingest.pipeline import Learner, PipelineParams
from ingest.splitter import SplitParams, Splitter
from ingest.worker import Worker, prepare_queue
from memory_graph.database import Database, check_schema, schema_state, upgrade_schema
from memory_graph.errors import InvalidInput, StoreUnavailable
from retrieval import models
from retrieval.answer import AnswerParams
from retrieval.breaker import BreakerParams
from retrieval.chains import ChainParams
from retrieval.cross_encoder import CrossEncoder, PairScorer
from retrieval.embedded import EmbeddedGenerator
from retrieval.embedder import Embedder, SentenceTransformerEmbedder
from retrieval.generator import ClientParams, Generator
from retrieval.ranker import read_ranker
from retrieval.reorder import Order
from retrieval.search import Searcher
from retrieval.views import ViewCache, ViewParams
from service.settings import Settings

log = logging.getLogger(__name__)

MB = 2**20
CONTEXT_TOKENS = 4096
# On a CPU the time of an answer is that of reading: half of it is saved, and the small model errs less.
EMBEDDED_SENTENCES = 2


def open_database(settings: Settings) -> Database:
    """Open the database, creating an empty one's schema.

    Errors: ``StoreVersionMismatch`` for another schema, ``StoreUnavailable`` where it cannot be opened or written.
    """
    database = Database(settings.resolved_database_url)
    if database.path is not None:
        try:
            database.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(
                f"cannot make the folder {database.path.parent}: {error.strerror}. Name another with SHARPWAVE_DATA_DIR"
            ) from error
    if schema_state(database) == "empty":
        upgrade_schema(database)
        prepare_queue(database)
    check_schema(database)
    return database


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
) -> Searcher:
    """Make what searches: with the settings' embedder, ranker and reranker, unless another one is given.

    Errors: ``InvalidInput`` for weights of the ranker that cannot be read, or a reranker that is none.
    """
    scorer = scorer or open_reranker(settings)  # first, because it may refuse and loads nothing yet
    return Searcher(
        database,
        views or open_views(settings, database),
        embedder or open_embedder(settings),
        chains=ChainParams(looks=settings.ranker_looks),
        ranker=read_ranker(settings.ranker) if settings.ranker else None,
        scorer=scorer,
    )


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
    params = ViewParams(memory_bytes=settings.view_memory_mb * MB)
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
        tokenizer = find_model(settings, settings.embedder) / "tokenizer.json"
        return Learner(
            database,
            embedder or open_embedder(settings),
            ExtractionPool(extractor or spacy_extractor(settings)),
            {mode: Splitter(tokenizer, SplitParams(mode=mode)) for mode in ("recursive", "none")},
            limits=ReadLimits(max_file_bytes=settings.max_file_mb * MB),
            # Facts read off verbs neither helped nor harmed; those of a language model help.
            params=replace(
                params or PipelineParams(), embed_facts=extractor is not None, embed_phrases=settings.join_synonyms
            ),
        )

    return build


def spacy_extractor(settings: Settings) -> Callable[[], Extractor]:
    """Return what makes the extractor of names and verbs, in whatever process it is called."""
    model = find_model(settings, settings.extractor)
    return partial(SpacyExtractor, model, ExtractionParams(facts=settings.extract_facts))


def make_worker(settings: Settings, database: Database) -> Worker:
    """Return a worker of this process, not yet started."""
    return Worker(database, make_learner(settings, database))
