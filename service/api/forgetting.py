"""Forgetting many documents at once, the purges that follow, and rules by which documents are forgotten."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from memory_graph.store.collections import get_collection
from memory_graph.store.forgetting import forget
from memory_graph.store.purges import get_purge, list_purges
from memory_graph.store.retention import Rule, apply_rule, delete_rule, get_rule, list_rules, put_rule
from memory_graph.store.rows import now
from service.access import ADMINS, FOLLOWS, READS, WRITES, Acting, Asking
from service.auditing import audited, describe_erased, describe_selection
from service.forgetting_schemas import ForgetIn, ForgottenOut, PurgeOut, PurgesOut, RuleIn, RuleOut, RulesOut
from service.paging import Cursor, Limit, Pages
from service.schemas import COLLECTION_NAME
from service.services import Parts

router = APIRouter(prefix="/v1", tags=["forgetting"])

PURGES = Pages[tuple[int]]("purges", int)
RULES = Pages[tuple[str]]("retention", str)
RuleName = Annotated[str, Path(pattern=f"^{COLLECTION_NAME.pattern}$")]


@router.post("/collections/{collection}/forget", operation_id="documents_forget_many", dependencies=[WRITES])
def forget_many(collection: str, body: ForgetIn, parts: Parts, actor: Acting) -> ForgottenOut:
    """Forget documents by their ids, those of a source, those that meet a filter, or all, in one commit."""
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


@router.get("/purges", operation_id="purges_list", dependencies=[FOLLOWS])
def list_newest(parts: Parts, caller: Asking, cursor: Cursor = None, limit: Limit = 50) -> PurgesOut:
    """List the newest purges."""
    (before,) = PURGES.read(cursor) or (None,)
    with parts.database.read() as connection:
        found = list_purges(connection, before=before, among=caller.collections, limit=limit + 1)
    page, following = PURGES.cut(found, limit, lambda purge: (purge.id,))
    return PurgesOut(purges=[PurgeOut.of(purge) for purge in page], next_cursor=following)


@router.get("/purges/{purge_id}", operation_id="purges_show", dependencies=[FOLLOWS])
def show(purge_id: Annotated[int, Path(ge=1, le=2**53)], parts: Parts) -> PurgeOut:
    """Return a purge: which steps are done, and what it waits for."""
    with parts.database.read() as connection:
        return PurgeOut.of(get_purge(connection, purge_id))


@router.get("/collections/{collection}/retention", operation_id="retention_list", dependencies=[READS])
def list_kept(collection: str, parts: Parts, cursor: Cursor = None, limit: Limit = 1_000) -> RulesOut:
    """List the rules of a collection by name."""
    (after,) = RULES.read(cursor) or (None,)
    with parts.database.read() as connection:
        found = list_rules(connection, get_collection(connection, collection).id, after=after, limit=limit + 1)
    page, following = RULES.cut(found, limit, lambda rule: (rule.name,))
    return RulesOut(rules=[RuleOut.of(rule) for rule in page], next_cursor=following)


@router.put("/collections/{collection}/retention/{name}", operation_id="retention_put", dependencies=[ADMINS])
def put(collection: str, name: RuleName, body: RuleIn, parts: Parts, actor: Acting) -> RuleOut:
    """Write a rule, in place of the one with its name. A worker applies it within six hours."""
    rule = Rule(name=name, age_of=body.age_of, max_age_days=body.max_age_days, filter=body.filter)
    with audited(parts.database, actor, "retention.put", collection=collection, target=name) as change:
        change.detail = {"age_of": rule.age_of, "max_age_days": rule.max_age_days, "filtered": bool(rule.filter)}
        return RuleOut.of(put_rule(change.connection, get_collection(change.connection, collection).id, rule))


@router.delete(
    "/collections/{collection}/retention/{name}",
    operation_id="retention_delete",
    status_code=204,
    dependencies=[ADMINS],
)
def delete(collection: str, name: RuleName, parts: Parts, actor: Acting) -> None:
    """Delete a rule; what it forgot stays forgotten."""
    with audited(parts.database, actor, "retention.delete", collection=collection, target=name) as change:
        delete_rule(change.connection, get_collection(change.connection, collection).id, name)


@router.post("/collections/{collection}/retention/{name}/run", operation_id="retention_run", dependencies=[ADMINS])
def run(collection: str, name: RuleName, parts: Parts, actor: Acting, dry_run: bool = False) -> ForgottenOut:
    """Apply a rule now; with `dry_run`, only tell what would go."""
    with audited(parts.database, actor, "retention.run", collection=collection, target=name, dry_run=dry_run) as change:
        rule = get_rule(change.connection, get_collection(change.connection, collection).id, name)
        erased = apply_rule(change.connection, rule, now(), dry_run=dry_run)
        change.detail = describe_erased(erased)
    return ForgottenOut.of(erased, dry_run=dry_run)
