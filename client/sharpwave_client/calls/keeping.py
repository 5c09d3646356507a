"""How long things are kept and who may ask: retention rules, purges, keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias

from sharpwave_client.call import Call, into, listed, nothing, paged, write_key
from sharpwave_client.models import AuditEntry, Forgotten, Key, NewKey, Page, Purge, RetentionRule

AgeOf: TypeAlias = Literal["learned", "occurred"]
Scope: TypeAlias = Literal["read", "write", "admin"]

_RULES = "/v1/collections/{collection}/retention"


def list_retention_rules(collection: str) -> Call[list[RetentionRule]]:
    """List the rules by which a collection's documents are forgotten; a thousand at most."""
    return Call(method="GET", route=_RULES, path={"collection": collection}, read=listed(RetentionRule, "rules"))


def page_retention_rules(collection: str, *, cursor: str | None = None, limit: int = 100) -> Call[Page[RetentionRule]]:
    """List a page of a collection's rules by name, for those who have more than a thousand."""
    path, params = {"collection": collection}, {"cursor": cursor, "limit": limit}
    return Call(method="GET", route=_RULES, path=path, params=params, read=paged(RetentionRule, "rules"))


def put_retention_rule(
    collection: str,
    name: str,
    *,
    max_age_days: int | None = None,
    age_of: AgeOf = "learned",
    filter: Mapping[str, Any] | None = None,
) -> Call[RetentionRule]:
    """Write a rule, in place of the one with its name: documents that are older and meet the filter go."""
    return Call(
        method="PUT",
        route=f"{_RULES}/{{name}}",
        path={"collection": collection, "name": name},
        body={"max_age_days": max_age_days, "age_of": age_of, "filter": dict(filter or {})},
        headers=write_key(),
        read=into(RetentionRule),
    )


def delete_retention_rule(collection: str, name: str) -> Call[None]:
    """Delete a rule; what it forgot stays forgotten."""
    path = {"collection": collection, "name": name}
    return Call(method="DELETE", route=f"{_RULES}/{{name}}", path=path, headers=write_key(), read=nothing)


def run_retention_rule(collection: str, name: str, *, dry_run: bool = False) -> Call[Forgotten]:
    """Apply a rule now; with ``dry_run`` only tell what would go."""
    return Call(
        method="POST",
        route=f"{_RULES}/{{name}}/run",
        path={"collection": collection, "name": name},
        params={"dry_run": dry_run},
        headers=write_key(),
        read=into(Forgotten),
    )


def list_purges(*, cursor: str | None = None, limit: int = 50) -> Call[Page[Purge]]:
    """List the newest removals of the bytes of what was forgotten."""
    params = {"cursor": cursor, "limit": limit}
    return Call(method="GET", route="/v1/purges", params=params, read=paged(Purge, "purges"))


def get_purge(purge_id: int) -> Call[Purge]:
    """Return a purge: which steps are done, and what it waits for."""
    return Call(method="GET", route="/v1/purges/{purge_id}", path={"purge_id": purge_id}, read=into(Purge))


def list_audit(
    *,
    collection: str | None = None,
    action: str | None = None,
    document_id: str | None = None,
    cursor: str | None = None,
    limit: int = 100,
) -> Call[Page[AuditEntry]]:
    """List who changed what, the newest first; ``document_id`` needs ``collection``."""
    params = {"collection": collection, "action": action, "document_id": document_id, "cursor": cursor, "limit": limit}
    return Call(method="GET", route="/v1/audit", params=params, read=paged(AuditEntry, "entries"))


def list_keys() -> Call[Page[Key]]:
    """List the keys, without their secrets, all on one page."""
    return Call(method="GET", route="/v1/keys", read=paged(Key, "keys"))


def create_key(
    name: str,
    *,
    scopes: Sequence[Scope] = ("read",),
    collections: Sequence[str] | None = None,
    expires_at: datetime | None = None,
    requests_per_minute: int | None = None,
    tokens_per_day: int | None = None,
    bytes_per_day: int | None = None,
) -> Call[NewKey]:
    """Make a key, bound to these collections if any are given; its secret is told this once.

    Limits that are left out are as with the key that asks.
    It is sent once: an answer that was lost is not asked for again, since a secret is not kept to be told twice.
    """
    body: dict[str, Any] = {"name": name, "scopes": list(scopes)}
    if collections is not None:
        body["collections"] = list(collections)
    if expires_at is not None:
        body["expires_at"] = expires_at.isoformat()
    limits = {
        "requests_per_minute": requests_per_minute,
        "tokens_per_day": tokens_per_day,
        "bytes_per_day": bytes_per_day,
    }
    body |= {name: value for name, value in limits.items() if value is not None}
    return Call(method="POST", route="/v1/keys", body=body, repeatable=False, read=into(NewKey))


def rotate_key(key_id: str, *, grace_s: int = 0) -> Call[NewKey]:
    """Give a key a new secret, told this once; the one before holds for ``grace_s`` longer. It is sent once."""
    return Call(
        method="POST",
        route="/v1/keys/{key_id}/rotate",
        path={"key_id": key_id},
        body={"grace_s": grace_s},
        repeatable=False,
        read=into(NewKey),
    )


def revoke_key(key_id: str) -> Call[None]:
    """Revoke a key."""
    return Call(method="DELETE", route="/v1/keys/{key_id}", path={"key_id": key_id}, headers=write_key(), read=nothing)
