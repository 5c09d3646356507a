"""What is marked in the texts of passages: the names that they mention and the facts that they state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from memory_graph.marking import Named
from memory_graph.store.rows import chunks
from memory_graph.tables import fact_sources, facts, mentions, phrases


@dataclass(kw_only=True)
class Findings:
    """What stands in one passage: the ways in which each phrase is written, its mentions counted, and the facts."""

    written: dict[int, list[str]] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    facts: list[Named] = field(default_factory=list)


def read_findings(connection: Connection, passage_ids: Sequence[int]) -> dict[int, Findings]:
    """Return what stands in each passage, in two statements for up to 500 of them."""
    found = {passage_id: Findings() for passage_id in passage_ids}
    for some in chunks(passage_ids):
        named = (
            select(mentions.c.passage_id, mentions.c.phrase_id, mentions.c.surface, mentions.c.count, phrases.c.key)
            .join(phrases, phrases.c.id == mentions.c.phrase_id)
            .where(mentions.c.passage_id.in_(some))
            .order_by(mentions.c.passage_id, mentions.c.phrase_id)
        )
        for passage_id, phrase_id, surface, count, key in connection.execute(named):
            found[passage_id].written[phrase_id] = [surface, key]
            found[passage_id].counts[phrase_id] = count
        stated = (
            select(fact_sources.c.passage_id, facts.c.id, facts.c.subject_id, facts.c.predicate, facts.c.object_id)
            .join(facts, facts.c.id == fact_sources.c.fact_id)
            .where(fact_sources.c.passage_id.in_(some))
            .order_by(fact_sources.c.passage_id, facts.c.id)
        )
        for passage_id, fact_id, subject_id, predicate, object_id in connection.execute(stated):
            fact = Named(id=fact_id, subject_id=subject_id, predicate=predicate, object_id=object_id)
            found[passage_id].facts.append(fact)
    return found


def named_phrases(found: Mapping[int, Findings]) -> list[int]:
    """Return the ids of all phrases that are mentioned or are an end of a fact."""
    ends = {end for one in found.values() for fact in one.facts for end in (fact.subject_id, fact.object_id)}
    return sorted(ends.union(*(one.written for one in found.values())))
