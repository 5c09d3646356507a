"""What the tests share: the real models from the cache, and databases that are thrown away."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before any library reads them: tests never fetch from a model hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from memory_graph.database import Database, upgrade_schema
from retrieval import models
from retrieval.cross_encoder import CrossEncoder
from retrieval.embedder import Embedder, SentenceTransformerEmbedder

REPOSITORY = Path(__file__).parent.parent


def _model(name: str) -> Path:
    model, root = models.find(name), models.models_dir()
    if not models.is_present(model, root):
        pytest.fail(f"the model {name} is not in {root}: run `make setup`, or `sharpwave models pull {name}`")
    return models.locate(model, root)


@pytest.fixture(scope="session")
def embedder_folder() -> Path:
    """The folder of the default embedder."""
    return _model(models.default_for("embedder").name)


@pytest.fixture(scope="session")
def tokenizer_file(embedder_folder: Path) -> Path:
    """The tokenizer of the default embedder."""
    return embedder_folder / "tokenizer.json"


@pytest.fixture(scope="session")
def extractor_folder() -> Path:
    """The folder of the default spaCy model."""
    return _model(models.default_for("nlp").name)


@pytest.fixture(scope="session")
def reranker() -> CrossEncoder:
    """The reranker, which `make test` fetches and `make setup` does not."""
    folder = _model("ms-marco-MiniLM-L-12-v2-int8")
    return CrossEncoder(lambda: folder, name=folder.name, threads=2)


@pytest.fixture(scope="session")
def generator_gguf() -> Path:
    """The file of the default embedded generator."""
    return _model(models.default_for("generator").name)


@pytest.fixture(scope="session")
def embedder(embedder_folder: Path) -> Embedder:
    """The default embedder, loaded once."""
    return SentenceTransformerEmbedder(embedder_folder, name="all-MiniLM-L6-v2")


@pytest.fixture(scope="session")
def samples() -> Path:
    """The sample documents and questions."""
    return REPOSITORY / "samples"


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the current schema and no rows, to be copied: running the migrations takes long."""
    path = tmp_path_factory.mktemp("empty") / "sharpwave.db"
    made = Database(f"sqlite:///{path}")
    upgrade_schema(made)
    made.close()
    return path


@pytest.fixture
def database(empty_database: Path, tmp_path: Path) -> Iterator[Database]:
    """An empty SQLite database with the current schema."""
    path = tmp_path / "sharpwave.db"
    shutil.copyfile(empty_database, path)
    opened = Database(f"sqlite:///{path}")
    yield opened
    opened.close()
