"""What forgetting does to corrections: one whose words only forgotten documents had goes, with its words.

Its row stays, for the record of who did something when. A correction that names others too loses only what is gone:
names of a merge, documents of a split or a retraction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, exists, or_, select, update

from memory_graph.corrections import Found, Retract, Rule, put_right, rule_of
from memory_graph.store.correcting import derive_anew
from memory_graph.store.learning import Commit
from memory_graph.store.originals import documents_of, page_originals, read_found
from memory_graph.store.rows import chunks
from memory_graph.store.scrubbing import SCRUBBED, Names
from memory_graph.tables import corrections, fact_sources, facts, mentions, originals, phrases
from memory_graph.text import normalize
from memory_graph.types import FactKey


@dataclass
class Said:
    """What passages say: names as they were read, and facts as they were read or as renamed by corrections."""

    names: set[str] = field(default_factory=set)
    facts: set[FactKey] = field(default_factory=set)

    def add(self, found: Mapping[int, Found], documents_by: Mapping[int, str], renames: Sequence[Rule]) -> None:
        """Take in what was found in passages."""
        for passage_id, one in found.items():
            self.names |= one.names
            self.facts.update(one.facts, put_right(one, renames, documents_by[passage_id])[0].facts)


def said_in(connection: Connection, commit: Commit, collection_id: int, passage_ids: Sequence[int]) -> Said | None:
    """Return what passages that are about to go say; None where nobody corrected anything."""
    if not _corrections(connection, collection_id):
        return None
    said = Said()
    for some in chunks(passage_ids):
        said.add(read_found(connection, some), documents_of(connection, some), _renames(commit.rules))
    return said


def scrub_corrections(
    connection: Connection,
    commit: Commit,
    collection_id: int,
    said: Said | None,
    keys: Iterable[str] | None,
    dead: Iterable[str],
) -> int:
    """Take out of corrections what only documents said that were forgotten in this commit; return how many changed.

    ``said`` is what these documents said, ``keys`` their ids, None for all there were, ``dead`` are names and titles
    that are gone.
    """
    if said is None:
        return 0
    before, gone = list(commit.rules), set(keys) if keys is not None else None
    living = _living(connection, collection_id, said, _renames(before))
    lost_names, lost_facts = said.names - living.names, said.facts - living.facts
    told = Names([*dead, *lost_names])
    changed = 0
    for row in _corrections(connection, collection_id):
        kept = None if gone is None else _without(row, gone, lost_names, lost_facts)
        values: dict[str, Any] = {"what": kept}
        if kept is None:
            values = {"what": {}, "reason": SCRUBBED if row.reason else "", "state": "forgotten"}
        elif row.reason and told.stand_in(row.reason):
            values["reason"] = SCRUBBED
        if any(row._mapping[name] != value for name, value in values.items()):
            connection.execute(update(corrections).where(corrections.c.id == row.id).values(values))
            changed += 1
    if changed:
        derive_anew(connection, commit, collection_id, before)
        commit.finish()  # names that only these corrections made go too
    return changed


def _without(row: Row[Any], gone: set[str], names: set[str], stated: set[FactKey]) -> dict[str, Any] | None:
    """Return what a correction says without these documents, names and facts; None where nothing is left of it."""
    what = dict(row.what)
    rule = rule_of(row.kind, what)
    if what.get("documents"):
        what["documents"] = [key for key in what["documents"] if key not in gone]
        if not what["documents"]:
            return None
    if row.kind == "merge":
        what["names"] = [name for name in what["names"] if normalize(name) not in names]
        if not what["names"]:
            return None
    single = [what.get(part) for part in ("name", "into", "surface", "subject", "object")]
    if any(text is not None and normalize(text) in names for text in single):
        return None
    return None if isinstance(rule, Retract) and rule.fact in stated else what


def _living(connection: Connection, collection_id: int, said: Said, renames: Sequence[Rule]) -> Said:
    """Return what living passages say of these names and facts."""
    living = Said()
    for page in page_originals(connection, collection_id):
        living.add(page, documents_of(connection, list(page)), renames)
    living.names &= said.names
    living.facts &= said.facts
    for some in chunks(sorted(said.names - living.names)):
        aside = exists().where(originals.c.passage_id == mentions.c.passage_id)
        mentioned = exists().where(mentions.c.phrase_id == phrases.c.id, ~aside)
        stating = fact_sources.join(facts, facts.c.id == fact_sources.c.fact_id)
        ends = or_(facts.c.subject_id == phrases.c.id, facts.c.object_id == phrases.c.id)
        untouched = ~exists().where(originals.c.passage_id == fact_sources.c.passage_id)
        stated = select(facts.c.id).select_from(stating).where(ends, untouched).correlate(phrases).exists()
        here = phrases.c.collection_id == collection_id, phrases.c.key.in_(some)
        living.names.update(connection.scalars(select(phrases.c.key).where(*here, or_(mentioned, stated))))
    one, other = phrases.alias(), phrases.alias()
    for subject, predicate, object_ in sorted(said.facts - living.facts):
        known = (
            select(facts.c.id)
            .join(one, one.c.id == facts.c.subject_id)
            .join(other, other.c.id == facts.c.object_id)
            .where(
                facts.c.collection_id == collection_id,
                one.c.key == subject,
                facts.c.predicate == predicate,
                other.c.key == object_,
            )
        )
        if connection.scalar(known) is not None:
            living.facts.add((subject, predicate, object_))
    return living


def _renames(rules: Iterable[Rule]) -> list[Rule]:
    return [rule for rule in rules if not isinstance(rule, Retract)]


def _corrections(connection: Connection, collection_id: int) -> Sequence[Row[Any]]:
    return connection.execute(
        select(corrections)
        .where(corrections.c.collection_id == collection_id, corrections.c.state != "forgotten")
        .order_by(corrections.c.id)
    ).all()
