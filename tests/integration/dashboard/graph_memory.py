"""A made-up memory whose names hang together in groups, as large as a picture may be."""

from __future__ import annotations

import numpy as np

from memory_graph.database import Database
from memory_graph.store.collections import create_collection
from memory_graph.store.learning import LearnedDocument, LearnedPassage
from memory_graph.text import hash_text
from memory_graph.types import Document, Extraction, Mention, Passage, Triple
from tests.unit.factories import commit_documents

GROUP = 40  # names
HUB = "Hub of All"


def name(number: int) -> str:
    """Return one of the names."""
    return f"Name {number:05}"


def learn_groups(database: Database, collection: str, names: int) -> int:
    """Make a collection of so many names, the hub among them; return its id."""
    with database.write() as connection:
        collection_id = create_collection(connection, collection).id
    rng = np.random.default_rng(7)
    documents = []
    for first in range(0, names - 1, GROUP):
        group = [name(one) for one in range(first, min(first + GROUP, names - 1))]
        texts = [[HUB, *group[start : start + 4]] for start in range(0, len(group), 4)]
        texts += [[str(one) for one in rng.choice(group, 4, replace=False)] for _ in range(2 * len(texts))]
        texts += [[group[0], name(int(rng.integers(names - 1)))]]
        documents.append(_document(f"group-{first // GROUP}", texts))
    commit_documents(database, collection_id, *documents)
    return collection_id


def _document(key: str, texts: list[list[str]]) -> LearnedDocument:
    passages = []
    start = 0
    for ordinal, held in enumerate(texts):
        text = " met ".join(held) + "."
        triples = tuple(Triple(held[0], "met", other) for other in held[1:2] if other != held[0])
        vector = np.zeros(16, dtype=np.float16)
        vector[ordinal % 16] = 1
        passages.append(
            LearnedPassage(
                passage=Passage(ordinal=ordinal, text=text, start=start, end=start + len(text)),
                text_hash=hash_text(key, str(ordinal), text),
                vector=vector,
                extraction=Extraction(mentions=tuple(Mention(one, 1) for one in dict.fromkeys(held)), triples=triples),
            )
        )
        start += len(text) + 2
    document = Document(id=key, text="\n\n".join(one.passage.text for one in passages), title=key)
    return LearnedDocument(
        document=document, content_hash=hash_text(document.text), passages=passages, made_by="made up"
    )
