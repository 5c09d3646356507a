"""A question set in a memory that is thrown away, and searches of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from evaluation.datasets import Dataset
from evaluation.memory import Learning, learn_documents, time_learning
from evaluation.openie import OpenieExtractor, Reading, openie_extractions
from evaluation.peers import read_corpus, search_by_parity
from evaluation.searches import Search, search_in
from evaluation.ways import Way
from ingest.pipeline import Learner
from memory_graph.database import Database
from memory_graph.errors import InvalidInput, UnreadableDocument
from memory_graph.store.collections import get_collection
from memory_graph.store.jobs import Job
from memory_graph.store.notes import NewNote, add_notes
from memory_graph.store.reading import Changes, passage_names, read_changes
from retrieval.embedder import Embedder
from retrieval.search import Searcher
from retrieval.view import View
from retrieval.views import ViewCache
from service.commands.scratch import open_scratch, show_learning
from service.settings import Settings
from service.wiring import make_learner, open_embedder, open_reranker

COLLECTION = "evaluation"


class LearnedSet:
    """A memory that holds the documents of one set, in the collection ``COLLECTION``, learned as ``learning`` says.

    ``readings`` are the triples that it was made of, where it was.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        views: ViewCache,
        embedder: Embedder,
        dataset: Dataset,
        learning: Learning,
        readings: Mapping[str, Reading] | None = None,
    ) -> None:
        self.settings = settings
        self.learning = learning
        self._dataset = dataset
        self._readings = readings
        self._database = database
        self._views = views
        self._embedder = embedder
        self._scorer = open_reranker(settings)

    def view(self) -> tuple[View, list[str]]:
        """Return what this memory holds, and the document's id of each row of passages."""
        collection_id, view = self._views.current(COLLECTION)
        with self._database.read() as connection:
            names = passage_names(connection, collection_id)
        return view, [names[int(passage)][0] for passage in view.passage_ids]

    def changes(self) -> Changes:
        """Return all that this memory holds as the rows that views are made of."""
        with self._database.read() as connection:
            return read_changes(connection, get_collection(connection, COLLECTION), 0)

    def searcher(self, way: Way) -> Searcher:
        """Return what searches this memory in this way; it has searched once, so that no question pays for loading."""
        searcher = Searcher(self._database, self._views, self._embedder, way.params(), scorer=self._scorer)
        searcher.warm()
        return searcher

    def keep_note(self, note: NewNote) -> None:
        """Keep a note in this memory, as the service does."""
        with self._database.write() as connection:
            add_notes(connection, [note])

    def search(self, way: Way) -> Search:
        """Return a function from (question, k) to the document of each of the k best passages.

        Errors: ``InvalidInput`` for parity with a memory that was made without triples.
        """
        if way.parity:
            if self._readings is None:
                raise InvalidInput("parity", "ranks by triples, and this memory was made without any.")
            corpus = read_corpus(self._database, self._views.current(COLLECTION)[1], self._dataset, self._embedder)
            return search_by_parity(corpus, self._readings)
        return search_in(self.searcher(way), COLLECTION, way.request)


@contextmanager
def learn_set(
    settings: Settings, dataset: Dataset, readings: Mapping[str, Reading] | None = None
) -> Iterator[LearnedSet]:
    """Learn the documents of a set with the product's own pipeline, showing the progress.

    ``readings`` are the entities and triples to learn in place of what spaCy finds.
    Errors: ``UnreadableDocument`` where one of them cannot be learned.
    """
    extractor = None if readings is None else partial(OpenieExtractor, openie_extractions(dataset, readings))
    with open_scratch(settings) as (scratch, database):
        embedder, views = open_embedder(scratch), ViewCache(database)
        embedder.encode(["warm up"])  # loading the model is no part of learning
        learner = make_learner(scratch, database, embedder, extractor=extractor)()
        learning = time_learning(lambda: learn_shown(database, learner, COLLECTION, dataset), views, COLLECTION)
        yield LearnedSet(scratch, database, views, embedder, dataset, learning, readings)


def learn_shown(database: Database, learner: Learner, collection: str, dataset: Dataset) -> Job:
    """Learn the documents of a set into a new collection, showing the progress; returns the ended job.

    Errors: ``UnreadableDocument`` where one of them cannot be learned.
    """
    with show_learning() as show:
        job = learn_documents(database, learner, collection, dataset.documents, split=dataset.split, progress=show)
    check_learned(job)
    return job


def check_learned(job: Job) -> None:
    """Refuse a memory that lacks documents of its set: its scores would be those of another set."""
    if job.failed:
        first = job.failures[0]
        others = f", nor can {job.failed - 1} others" if job.failed > 1 else ""
        raise UnreadableDocument(first.name, first.reason, f"cannot be learned{others}: {first.error}")
