"""What people put right about names and facts, as rules that what is read in a passage goes through.

A passage's mentions and facts are what its extractor found, put through all corrections that stand, in the order in
which they were made. Nothing else decides: whichever came first, the document or the correction, and however often
either was made again, the outcome is the same. Names are meant by their normalised words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from memory_graph.text import is_linkable, normalize
from memory_graph.types import Extraction, FactKey, JsonObject

Kind: TypeAlias = Literal["merge", "split", "retract"]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What stands for one passage: names by key with how they are written and how often, and facts.

    ``embedded_names`` and ``embedded_facts`` are those of them that have vectors.
    """

    mentions: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    facts: Sequence[FactKey] = ()
    embedded_names: frozenset[str] = frozenset()
    embedded_facts: frozenset[FactKey] = frozenset()

    @property
    def names(self) -> set[str]:
        """The keys of all names, those that only facts name too."""
        return {*self.mentions, *(end for fact in self.facts for end in (fact[0], fact[2]))}

    def vectors_belong(self) -> bool:
        """Whether all that has a vector is among what was found."""
        return self.embedded_names <= self.names and self.embedded_facts <= set(self.facts)

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "mentions": [[key, surface, count] for key, (surface, count) in self.mentions.items()],
            "facts": [list(fact) for fact in self.facts],
            "embedded_names": sorted(self.embedded_names),
            "embedded_facts": [list(fact) for fact in sorted(self.embedded_facts)],
        }

    @staticmethod
    def from_json(value: JsonObject) -> Found:
        """Return what ``to_json`` wrote."""
        return Found(
            mentions={key: (surface, count) for key, surface, count in value["mentions"]},
            facts=[(one, predicate, other) for one, predicate, other in value["facts"]],
            embedded_names=frozenset(value["embedded_names"]),
            embedded_facts=frozenset((one, predicate, other) for one, predicate, other in value["embedded_facts"]),
        )


def found_in(extraction: Extraction, key_of: Callable[[str], str] = normalize) -> Found:
    """Return an extraction by keys: a name without a letter or digit, and a fact about one name alone, are none.

    ``key_of`` is ``normalize``, or what remembers its results.
    """
    mentions: dict[str, tuple[str, int]] = {}
    for mention in extraction.mentions:
        if key := key_of(mention.text):
            surface, count = mentions.get(key, (mention.text, 0))
            mentions[key] = (surface, count + mention.count)
    facts: dict[FactKey, None] = {}
    for triple in extraction.triples:
        one, other = key_of(triple.subject), key_of(triple.object)
        if one and other and one != other:
            facts[one, triple.predicate, other] = None
    return Found(mentions=mentions, facts=list(facts))


@dataclass(frozen=True, kw_only=True)
class Merge:
    """The phrases ``names`` are the phrase ``into``."""

    names: frozenset[str]
    into: str

    def rename(self, key: str, surface: str | None, document: str) -> str:
        return self.into if key in self.names else key

    def drops(self, fact: FactKey, document: str) -> bool:
        return False


@dataclass(frozen=True, kw_only=True)
class Split:
    """The phrase ``name`` is ``into`` where it is written ``surface``, and in ``documents``; None means whichever."""

    name: str
    into: str
    surface: str | None = None
    documents: frozenset[str] | None = None

    def rename(self, key: str, surface: str | None, document: str) -> str:
        meant = (self.surface is None or surface == self.surface) and _in(self.documents, document)
        return self.into if key == self.name and meant else key

    def drops(self, fact: FactKey, document: str) -> bool:
        return False


@dataclass(frozen=True, kw_only=True)
class Retract:
    """The fact is not so: nowhere, or not in ``documents``."""

    fact: FactKey
    documents: frozenset[str] | None = None

    def rename(self, key: str, surface: str | None, document: str) -> str:
        return key

    def drops(self, fact: FactKey, document: str) -> bool:
        return fact == self.fact and _in(self.documents, document)


Rule: TypeAlias = Merge | Split | Retract


def rule_of(kind: str, what: JsonObject) -> Rule:
    """Return the rule that a correction's row tells."""
    documents = frozenset(what["documents"]) if what.get("documents") else None
    if kind == "merge":
        return Merge(names=frozenset(map(normalize, what["names"])), into=normalize(what["into"]))
    if kind == "split":
        name, into = normalize(what["name"]), normalize(what["into"])
        return Split(name=name, into=into, surface=what.get("surface"), documents=documents)
    fact = (normalize(what["subject"]), what["predicate"], normalize(what["object"]))
    return Retract(fact=fact, documents=documents)


def aliases_of(rules: Sequence[Rule]) -> dict[str, str]:
    """Return what became of each name that was merged away, behind all rules; a split says nothing of a question."""
    merges = [rule for rule in rules if isinstance(rule, Merge)]
    found: dict[str, str] = {}
    for name in sorted({name for merge in merges for name in merge.names}):
        now = name
        for merge in merges:
            now = merge.rename(now, None, "")
        if now != name:
            found[name] = now
    return found


def put_right(found: Found, rules: Sequence[Rule], document: str) -> tuple[Found, bool]:
    """Return what is left of a passage's findings behind all rules, and whether any rule had to do with them.

    A name that only a fact holds is written as the passage's mention of it. Of names that become one, the counts are
    added, and the way it is written most often stays.
    """
    key_of = {key: key for key in sorted(found.names)}
    surfaces = {key: surface for key, (surface, _) in found.mentions.items()}
    facts = list(found.facts)
    touched = False
    for rule in rules:
        renamed = {key: rule.rename(now, surfaces.get(key), document) for key, now in key_of.items()}
        kept = [fact for fact in facts if not rule.drops((key_of[fact[0]], fact[1], key_of[fact[2]]), document)]
        touched |= renamed != key_of or len(kept) < len(facts)
        key_of, facts = renamed, kept
    if not touched:
        return found, False
    mentions: dict[str, tuple[str, int]] = {}
    for key, (surface, count) in sorted(found.mentions.items(), key=lambda one: (-one[1][1], one[1][0])):
        written, before = mentions.get(key_of[key], (surface, 0))
        mentions[key_of[key]] = (written, before + count)
    told = {fact: (key_of[fact[0]], fact[1], key_of[fact[2]]) for fact in facts}
    return Found(
        mentions=mentions,
        facts=list(dict.fromkeys(fact for fact in told.values() if fact[0] != fact[2])),
        embedded_names=frozenset(key_of[key] for key in found.embedded_names if is_linkable(key_of[key])),
        embedded_facts=frozenset(
            now for fact, now in told.items() if fact in found.embedded_facts and now[0] != now[2]
        ),
    ), True


def _in(documents: frozenset[str] | None, document: str) -> bool:
    return documents is None or document in documents
