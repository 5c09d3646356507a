"""Names and facts from text without an LLM: spaCy's entities, and triples read off verbs.

The tagger of names runs over everything. The parser, which costs as much again, sees only sentences that hold two
names: nothing else can become a triple between names.
"""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from memory_graph.text import MAX_NAME_WORDS, clean_name, words
from memory_graph.types import Extraction, Mention, Triple

if TYPE_CHECKING:
    from spacy.tokens import Doc, Span, Token

# Amounts and ordinals name nothing that another passage could be about.
_DROPPED_LABELS = frozenset({"ORDINAL", "CARDINAL", "PERCENT", "QUANTITY", "MONEY", "TIME"})
_SUBJECTS = frozenset({"nsubj", "nsubjpass"})
_OBJECTS = frozenset({"dobj", "attr", "dative", "oprd"})
_MAX_PREDICATE_CHARS = 80


class Extractor(Protocol):
    """Finds the names and the facts of passages."""

    name: str

    def extract(self, texts: Sequence[str]) -> list[Extraction]:
        """Return what each text holds, in order."""
        ...


@dataclass(frozen=True, kw_only=True)
class ExtractionParams:
    """``facts`` reads triples too; ``batch_size`` texts go through the tagger together."""

    facts: bool = True
    batch_size: int = 64


def _import_spacy() -> Any:
    # thinc imports PyTorch wherever it is installed: two seconds and 190 MB, for layers that these pipelines have not.
    # It does without where that import fails, as None here makes it; a process that has PyTorch already keeps it.
    if "torch" in sys.modules:
        return importlib.import_module("spacy")
    sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("spacy")
    finally:
        del sys.modules["torch"]


class SpacyExtractor:
    """spaCy's named entities as mentions, and subject-verb-object patterns between them as triples."""

    def __init__(self, model: Path, params: ExtractionParams | None = None) -> None:
        spacy = _import_spacy()
        self.name = f"spacy:{model.name}"
        self._params = params or ExtractionParams()
        self._names = spacy.load(model, exclude=["tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer"])
        self._names.add_pipe("sentencizer")
        self._grammar = spacy.load(
            model, exclude=["tagger", "attribute_ruler", "lemmatizer", "ner"], vocab=self._names.vocab
        )

    def extract(self, texts: Sequence[str]) -> list[Extraction]:
        """Return the mentions and triples of each text, in order."""
        docs = list(self._names.pipe(texts, batch_size=self._params.batch_size))
        triples = self._read_triples(docs) if self._params.facts else [() for _ in docs]
        return [
            Extraction(mentions=_count_names(doc.ents), triples=found) for doc, found in zip(docs, triples, strict=True)
        ]

    def _read_triples(self, docs: Sequence[Doc]) -> list[tuple[Triple, ...]]:
        places: list[int] = []
        sentences: list[Doc] = []
        for place, doc in enumerate(docs):
            for sentence in doc.sents:
                if sum(1 for entity in sentence.ents if _name_of(entity)) >= 2:
                    places.append(place)
                    sentences.append(sentence.as_doc())
        parsed = self._grammar.pipe(sentences, batch_size=self._params.batch_size)
        found: list[list[Triple]] = [[] for _ in docs]
        for place, doc in zip(places, parsed, strict=True):
            found[place] += _triples_of(doc)
        return [tuple(dict.fromkeys(triples)) for triples in found]


def _name_of(entity: Span) -> str:
    if entity.label_ in _DROPPED_LABELS:
        return ""
    name = clean_name(entity.text)
    return name if 0 < len(words(name)) <= MAX_NAME_WORDS and len(name) > 1 else ""


def _count_names(entities: Iterable[Span]) -> tuple[Mention, ...]:
    counts = Counter(name for entity in entities if (name := _name_of(entity)))
    return tuple(Mention(name, count) for name, count in counts.items())


def _triples_of(sentence: Doc) -> list[Triple]:
    """Read (name, verb, name) off a parsed sentence; a name anywhere under the subject or object stands for it."""
    names: dict[int, str] = {}
    for entity in sentence.ents:
        if name := _name_of(entity):
            names[entity.root.i] = name
    found: list[Triple] = []
    for verb in sentence:
        if verb.pos_ not in ("VERB", "AUX", "") or not any(child.dep_ in _SUBJECTS for child in verb.children):
            continue
        subjects = [name for child in verb.children if child.dep_ in _SUBJECTS for name in _heads(child, names)]
        for predicate, holder in _complements(verb):
            for subject in subjects:
                for object_ in _heads(holder, names):
                    if subject != object_ and len(predicate) <= _MAX_PREDICATE_CHARS:
                        found.append(Triple(subject, predicate, object_))
    return found


def _complements(verb: Token) -> Iterable[tuple[str, Token]]:
    """Yield (predicate, token) for the objects of a verb and of its prepositions, "was born" + "in" included."""
    auxiliaries = [
        child.text for child in verb.children if child.dep_ in ("aux", "auxpass", "neg") and child.i < verb.i
    ]
    base = " ".join([*auxiliaries, verb.text]).casefold()
    for child in verb.children:
        if child.dep_ in _OBJECTS:
            yield base, child
            for under in child.children:
                if under.dep_ == "prep":
                    yield from (
                        (f"{base} {child.text} {under.text}".casefold(), end)
                        for end in under.children
                        if end.dep_ == "pobj"
                    )
        elif child.dep_ in ("prep", "agent"):
            yield from ((f"{base} {child.text}".casefold(), end) for end in child.children if end.dep_ == "pobj")


def _heads(token: Token, names: dict[int, str]) -> list[str]:
    """Return the name that a token heads, with those coordinated to it."""
    found = [names[token.i]] if token.i in names else []
    for child in token.children:
        if child.dep_ in ("conj", "appos"):
            found += _heads(child, names)
    return found
