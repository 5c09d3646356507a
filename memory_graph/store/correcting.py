"""Corrections as rows: made, listed, undone, and applied in the same commit to what is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, or_, select, union, update

from memory_graph.corrections import Found, Kind, Rule, put_right, rule_of
from memory_graph.errors import Conflict, InvalidInput, NotFound
from memory_graph.store.findings import Embed
from memory_graph.store.inspecting import find_phrase
from memory_graph.store.learning import Commit
from memory_graph.store.originals import documents_of, keep_original, page_originals, read_found, read_rules
from memory_graph.store.rows import chunks, now
from memory_graph.tables import corrections, documents, fact_sources, facts, mentions, passages
from memory_graph.text import normalize

MAX_NAMES = 100  # of a merge, and documents of a split or a retraction


@dataclass(frozen=True, kw_only=True)
class NewCorrection:
    """What is to be put right: ``what`` as its kind has it.

    ``merge``: names, into. ``split``: name, into, with surface or documents or both. ``retract``: subject, predicate,
    object, and documents where it is not to be everywhere.
    """

    kind: Kind
    what: Mapping[str, Any]
    reason: str = ""
    made_by: str = ""


@dataclass(frozen=True, kw_only=True)
class Correction:
    """A correction as it was made; ``passages`` is how many the commit ``version`` changed for it.

    ``state`` is active, undone, or forgotten: then its words are gone with the documents that they were of.
    """

    id: int
    kind: Kind
    what: Mapping[str, Any] = field(default_factory=dict)
    reason: str
    state: str
    made_by: str
    created_at: datetime
    version: int
    passages: int
    undone_by: str | None
    undone_at: datetime | None


def correct(connection: Connection, collection_id: int, new: NewCorrection, embed: Embed | None = None) -> Correction:
    """Make a correction, and apply it to what is there in one commit; ``embed`` as for ``Commit``.

    Errors: ``InvalidInput`` naming the field that makes no sense; ``NotFound`` for a name, fact or document.
    """
    what = _checked(new)
    commit = Commit(connection, collection_id, embed)
    before = list(commit.rules)
    rule = rule_of(new.kind, what)
    merged = [_phrase(connection, collection_id, name) for name in what["names"]] if new.kind == "merge" else None
    passage_ids = _meant(connection, collection_id, new.kind, what)
    changed = _derive(connection, commit, collection_id, passage_ids, before, [*before, rule])
    values = {
        "collection_id": collection_id,
        "kind": new.kind,
        "what": what,
        "reason": new.reason,
        "state": "active",
        "made_by": new.made_by,
        "created_at": now(),
        "version": commit.version,
        "passages": changed,
        "phrase_ids": merged,
    }
    made = connection.scalar(insert(corrections).values(values).returning(corrections.c.id))
    commit.finish()
    return get_correction(connection, collection_id, made or 0)


def take_over(connection: Connection, collection_id: int, taken: Correction) -> None:
    """Write a correction of another collection, whose passages come with what it made of them.

    Errors: ``InvalidInput`` naming the field that makes no sense.
    """
    what = {}
    if taken.state != "forgotten":
        what = _checked(NewCorrection(kind=taken.kind, what=taken.what))
    elif taken.what:
        raise InvalidInput("what", "is not there of a correction that is forgotten")
    if (taken.state == "undone") != (taken.undone_at is not None):
        raise InvalidInput("undone_at", "tells when it was undone, and stands where it was")
    values = {field.name: getattr(taken, field.name) for field in fields(taken) if field.name != "id"}
    connection.execute(insert(corrections).values({**values, "collection_id": collection_id, "what": what}))


def undo(
    connection: Connection, collection_id: int, correction_id: int, by: str, embed: Embed | None = None
) -> Correction:
    """Undo a correction in one commit: what it touched is derived anew from what was found, by those that still stand.

    Errors: ``NotFound``; ``Conflict`` where it does not stand any more.
    """
    commit = Commit(connection, collection_id, embed)
    before = read_rules(connection, collection_id)
    found = get_correction(connection, collection_id, correction_id)
    if found.state != "active":
        raise Conflict(f"the correction {correction_id} does not stand any more: it is {found.state}")
    values = {"state": "undone", "undone_by": by, "undone_at": now()}
    connection.execute(update(corrections).where(corrections.c.id == correction_id).values(values))
    assert commit.version  # a commit of its own, even where it changes no passage
    derive_anew(connection, commit, collection_id, before)
    commit.finish()
    return get_correction(connection, collection_id, correction_id)


def derive_anew(connection: Connection, commit: Commit, collection_id: int, before: Sequence[Rule]) -> None:
    """Let what corrections touched follow from those that stand now; ``before`` are the rules that stood."""
    after = read_rules(connection, collection_id)
    for page in page_originals(connection, collection_id):
        _derive(connection, commit, collection_id, list(page), before, after)


def get_correction(connection: Connection, collection_id: int, correction_id: int) -> Correction:
    """Read one correction. Errors: ``NotFound``."""
    row = connection.execute(
        select(corrections).where(corrections.c.collection_id == collection_id, corrections.c.id == correction_id)
    ).one_or_none()
    if row is None:
        raise NotFound("correction", str(correction_id))
    return _correction(row)


def list_corrections(
    connection: Connection,
    collection_id: int,
    *,
    state: str | None = None,
    kind: str | None = None,
    before: int | None = None,
    limit: int,
) -> list[Correction]:
    """List the newest corrections, of those with ids below ``before`` if that is given."""
    query = select(corrections).where(corrections.c.collection_id == collection_id)
    if state is not None:
        query = query.where(corrections.c.state == state)
    if kind is not None:
        query = query.where(corrections.c.kind == kind)
    if before is not None:
        query = query.where(corrections.c.id < before)
    return [_correction(row) for row in connection.execute(query.order_by(corrections.c.id.desc()).limit(limit))]


def _derive(
    connection: Connection,
    commit: Commit,
    collection_id: int,
    passage_ids: Sequence[int],
    before: Sequence[Rule],
    after: Sequence[Rule],
) -> int:
    """Let the rows of passages say what the rules ``after`` make of what was found; return how many changed."""
    changed = 0
    for some in chunks(passage_ids):
        found, documents_by = read_found(connection, some), documents_of(connection, some)
        told: dict[int, Found] = {}
        kept: dict[int, Found | None] = {}
        for passage_id, one in found.items():
            was, _ = put_right(one, before, documents_by[passage_id])
            now_is, touched = put_right(one, after, documents_by[passage_id])
            kept[passage_id] = one if touched else None
            if now_is != was:
                told[passage_id] = now_is
        keep_original(connection, collection_id, kept)
        if told:
            commit.rewrite(told)
        changed += len(told)
    return changed


def _checked(new: NewCorrection) -> dict[str, Any]:
    """Return what a correction says, without what is not given. Errors: ``InvalidInput``."""
    what = {name: value for name, value in new.what.items() if value not in (None, [], ())}
    needed = {"merge": ("names", "into"), "split": ("name", "into"), "retract": ("subject", "predicate", "object")}
    allowed = {"merge": (), "split": ("surface", "documents"), "retract": ("documents",)}
    for name in needed[new.kind]:
        if name not in what:
            raise InvalidInput(name, f"is needed to {new.kind}")
    for name in what:
        if name not in (*needed[new.kind], *allowed[new.kind]):
            raise InvalidInput(name, f"has no meaning for a {new.kind}")
    for name in ("name", "into", "subject", "object"):
        if name in what and not normalize(what[name]):
            raise InvalidInput(name, f"{what[name]!r} holds no letter or digit")
    for name in ("names", "documents"):
        if len(what.get(name, ())) > MAX_NAMES:
            raise InvalidInput(name, f"must be at most {MAX_NAMES}")
    if new.kind == "merge":
        for place, name in enumerate(what["names"]):
            if not normalize(name):
                raise InvalidInput(f"names.{place}", f"{name!r} holds no letter or digit")
            if normalize(name) == normalize(what["into"]):
                raise InvalidInput(f"names.{place}", f"{name!r} and {what['into']!r} are one name already")
    if new.kind == "split":
        if "surface" not in what and "documents" not in what:
            raise InvalidInput("surface", "say which: how it is written there, the documents, or both")
        if normalize(what["name"]) == normalize(what["into"]):
            raise InvalidInput("into", f"{what['into']!r} and {what['name']!r} are one name already")
    return what


def _meant(connection: Connection, collection_id: int, kind: Kind, what: Mapping[str, Any]) -> list[int]:
    """Return the passages that a correction is about. Errors: ``NotFound`` for a name, fact, surface or document."""
    wanted = what.get("documents")
    if wanted:
        there = set(
            connection.scalars(
                select(documents.c.key).where(
                    documents.c.collection_id == collection_id, documents.c.key.in_(list(wanted))
                )
            )
        )
        for key in wanted:
            if key not in there:
                raise NotFound("document", key)
    if kind == "merge":
        phrase_ids = [_phrase(connection, collection_id, name) for name in what["names"]]
        return _holding(connection, phrase_ids, None)
    if kind == "split":
        phrase_id = _phrase(connection, collection_id, what["name"])
        surface = what.get("surface")
        written = select(mentions.c.passage_id).where(mentions.c.phrase_id == phrase_id, mentions.c.surface == surface)
        if surface is not None and connection.scalar(written.limit(1)) is None:
            raise NotFound("surface form", surface)
        return _holding(connection, [phrase_id], wanted)
    ends = _phrase(connection, collection_id, what["subject"]), _phrase(connection, collection_id, what["object"])
    fact_id = connection.scalar(
        select(facts.c.id).where(
            facts.c.collection_id == collection_id,
            facts.c.subject_id == ends[0],
            facts.c.predicate == what["predicate"],
            facts.c.object_id == ends[1],
        )
    )
    if fact_id is None:
        raise NotFound("fact", f"{what['subject']} {what['predicate']} {what['object']}")
    stating = select(fact_sources.c.passage_id).where(fact_sources.c.fact_id == fact_id)
    passage_ids = sorted(connection.scalars(stating))
    return _only_in(connection, passage_ids, wanted)


def _phrase(connection: Connection, collection_id: int, name: str) -> int:
    found = find_phrase(connection, collection_id, normalize(name))
    if found is None:
        raise NotFound("phrase", name)
    return found


def _holding(connection: Connection, phrase_ids: Sequence[int], wanted: Iterable[str] | None) -> list[int]:
    """Return the passages that mention phrases or state facts about them, of these documents if any are given."""
    stating = (
        select(fact_sources.c.passage_id)
        .join(facts, facts.c.id == fact_sources.c.fact_id)
        .where(or_(facts.c.subject_id.in_(phrase_ids), facts.c.object_id.in_(phrase_ids)))
    )
    mentioning = select(mentions.c.passage_id).where(mentions.c.phrase_id.in_(phrase_ids))
    return _only_in(connection, sorted(connection.scalars(union(mentioning, stating))), wanted)


def _only_in(connection: Connection, passage_ids: list[int], wanted: Iterable[str] | None) -> list[int]:
    if not wanted:
        return passage_ids
    keys = list(wanted)
    found: list[int] = []
    for some in chunks(passage_ids, 400):
        found += connection.scalars(
            select(passages.c.id)
            .join(documents, documents.c.id == passages.c.document_id)
            .where(passages.c.id.in_(some), documents.c.key.in_(keys))
        )
    return found


def _correction(row: Row[Any]) -> Correction:
    return Correction(**{one.name: row._mapping[one.name] for one in fields(Correction)})
