"""Forgetting many documents at once, the purges that follow, and rules by which documents are forgotten."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from memory_graph.store.collections import get_collection
from memory_graph.store.forgetting import forget
from memory_graph.store.purges import get_purge, list_purges
from memory_graph.store.retention import Rule, apply_rule, delete_rule, get_rule, list_rules, put_rule
from memory_graph.store.rows import now
from service.access import ADMINS, FOLLOWS, READS, WRITES
from service.auditing import Acting, audited, describe_erased, describe_selection
from service.forgetting_schemas import ForgetIn, ForgottenOut, PurgeOut, PurgesOut, RuleIn, RuleOut, RulesOut
from service.schemas import COLLECTION_NAME
from service.services import Parts

router = APIRouter(prefix="/v1", tags=["forgetting"])

RuleName = Annotated[str, Path(pattern=f"^{COLLECTION_NAME.pattern}$")]


@router.post("/collections/{collection}/forget", dependencies=[WRITES])
def forget_many(collection: str, body: ForgetIn, parts: Parts, actor: Acting) -> ForgottenOut:
    """Forget the documents of a source, those that meet a filter, or all, in one commit."""
    selection = body.selection()
    parts.query_log.flush()
    target = describe_selection(selection)
    with audited(
        parts.database, actor, "documents.forget", collection=collection, target=target, dry_run=body.dry_run
    ) as change:
        found = get_collection(change.connection, collection)
        erased = forget(change.connection, found.id, selection, dry_run=body.dry_run)
        change.detail = describe_erased(erased)
    return ForgottenOut.of(erased, dry_run=body.dry_run)


@router.get("/purges", dependencies=[FOLLOWS])
def list_newest(parts: Parts, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> PurgesOut:
    """List the newest purges."""
    with parts.database.read() as connection:
        return PurgesOut(purges=[PurgeOut.of(purge) for purge in list_purges(connection, limit=limit)])


@router.get("/purges/{purge_id}", dependencies=[FOLLOWS])
def show(purge_id: Annotated[int, Path(ge=1, le=2**53)], parts: Parts) -> PurgeOut:
    """Return a purge: which steps are done, and what it waits for."""
    with parts.database.read() as connection:
        return PurgeOut.of(get_purge(connection, purge_id))


@router.get("/collections/{collection}/retention", dependencies=[READS])
def list_kept(collection: str, parts: Parts) -> RulesOut:
    """List the rules of a collection."""
    with parts.database.read() as connection:
        rules = list_rules(connection, get_collection(connection, collection).id)
    return RulesOut(rules=[RuleOut.of(rule) for rule in rules])


@router.put("/collections/{collection}/retention/{name}", dependencies=[ADMINS])
def put(collection: str, name: RuleName, body: RuleIn, parts: Parts, actor: Acting) -> RuleOut:
    """Write a rule, in place of the one with its name. A worker applies it within six hours."""
    rule = Rule(name=name, age_of=body.age_of, max_age_days=body.max_age_days, filter=body.filter)
    with audited(parts.database, actor, "retention.put", collection=collection, target=name) as change:
        change.detail = {"age_of": rule.age_of, "max_age_days": rule.max_age_days, "filtered": bool(rule.filter)}
        return RuleOut.of(put_rule(change.connection, get_collection(change.connection, collection).id, rule))


@router.delete("/collections/{collection}/retention/{name}", status_code=204, dependencies=[ADMINS])
def delete(collection: str, name: RuleName, parts: Parts, actor: Acting) -> None:
    """Delete a rule; what it forgot stays forgotten."""
    with audited(parts.database, actor, "retention.delete", collection=collection, target=name) as change:
        delete_rule(change.connection, get_collection(change.connection, collection).id, name)


@router.post("/collections/{collection}/retention/{name}/run", dependencies=[ADMINS])
def run(collection: str, name: RuleName, parts: Parts, actor: Acting, dry_run: bool = False) -> ForgottenOut:
    """Apply a rule now; with `dry_run`, only tell what would go."""
    with audited(parts.database, actor, "retention.run", collection=collection, target=name, dry_run=dry_run) as change:
        rule = get_rule(change.connection, get_collection(change.connection, collection).id, name)
        erased = apply_rule(change.connection, rule, now(), dry_run=dry_run)
        change.detail = describe_erased(erased)
    return ForgottenOut.of(erased, dry_run=dry_run)
