"""``keys``: who may ask the service, for what, and how much."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from memory_graph.errors import InvalidInput
from memory_graph.store.rows import now
from memory_graph.store.spending import spent_on
from service.access import ANYONE, SCOPES, Scope
from service.auditing import audited, cli_actor, describe_key, key_target
from service.commands.output import AsJson, DataDir, console, is_alone, out, print_json
from service.key_schemas import MAX_BYTES, MAX_GRACE_S, MAX_REQUESTS, MAX_TOKENS, KeyIn, KeyOut, KeysOut, NewKeyOut
from service.keys import make_key, revoke, rotate, visible
from service.opening import DEFAULT_COLLECTION, ensure_default_collection, open_database
from service.schemas import COLLECTION_NAME
from service.settings import read_settings

keys_app = typer.Typer(help="Keys of the service.", invoke_without_command=True)

KeyId = Annotated[str, typer.Argument(help="The key's id, as `sharpwave keys` lists it.")]
MAX_DAYS = 36_500


@keys_app.callback()
def keys(context: typer.Context, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    if is_alone(context, as_json=as_json, data_dir=data_dir):
        list_all(as_json, data_dir)


@keys_app.command("list")
def list_all(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the keys, the newest first, with those that are revoked."""
    database = open_database(read_settings(data_dir=data_dir))
    with database.read() as connection:
        spent = spent_on(connection, now().date())
        found = [KeyOut.of(key, spent.get(key.id)) for key in visible(connection, ANYONE)]
    if as_json:
        print_json(KeysOut(keys=found))
        return
    if not found:
        out.print("No keys yet: `sharpwave keys create` makes one.")
        return
    table = Table("Id", "Name", "Scopes", "Collections", "State", "Last used (UTC)", "Today")
    table.columns[0].min_width = 16  # ids are copied from here
    for one in found:
        names = "all" if one.collections is None else ", ".join(one.collections) or "none is left"
        used = f"{one.used_at:%Y-%m-%d %H:%M}" if one.used_at else "never"
        spending = "\n".join(
            f"{spent:,}{f' of {most:,}' if most else ''} {what}"
            for what, spent, most in (
                ("tokens", one.tokens_today, one.tokens_per_day),
                ("bytes", one.bytes_today, one.bytes_per_day),
            )
        )
        table.add_row(one.id, escape(one.name), " ".join(one.scopes), names, _state(one), used, spending)
    out.print(table)


@keys_app.command("create")
def create(
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    scope: Annotated[
        list[str], typer.Option(help="`read`, `write` or `admin`; may be given more than once.", show_default="read")
    ] = ["read"],  # noqa: B006 - typer copies it
    collection: Annotated[
        list[str] | None,
        typer.Option("--collection", "-c", help="Bind it to this collection; may be given more than once."),
    ] = None,
    expires_days: Annotated[int | None, typer.Option(help="It ends after so many days.", min=1, max=MAX_DAYS)] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option(help="How often it may ask.", min=1, max=MAX_REQUESTS)
    ] = None,
    tokens_per_day: Annotated[
        int | None, typer.Option(help="Tokens of the generator that it may spend in a day.", min=1, max=MAX_TOKENS)
    ] = None,
    bytes_per_day: Annotated[
        int | None, typer.Option(help="Bytes that it may give to be learned in a day.", min=1, max=MAX_BYTES)
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Make a key, and show it this once."""
    for one in collection or ():
        if COLLECTION_NAME.fullmatch(one) is None:
            raise InvalidInput("--collection", "must be lower-case letters, digits, - and _, at most 63 characters")
    scopes = [_scope(one) for one in scope]
    wanted = KeyIn(
        name=name.strip() or " ".join(scopes),
        scopes=scopes,
        collections=collection or None,
        expires_at=now() + timedelta(days=expires_days) if expires_days else None,
        requests_per_minute=requests_per_minute,
        tokens_per_day=tokens_per_day,
        bytes_per_day=bytes_per_day,
    ).wanted()
    database = open_database(read_settings(data_dir=data_dir))
    if DEFAULT_COLLECTION in (collection or ()):
        ensure_default_collection(database)  # a service makes it only when it starts
    with audited(database, cli_actor(), "key.create") as change:
        made = make_key(change.connection, ANYONE, wanted)
        describe_key(change, made[1])
    _show(NewKeyOut.made(made), as_json)


@keys_app.command("rotate")
def renew(
    key_id: KeyId,
    grace_s: Annotated[
        int, typer.Option(help="How many seconds the secret before still holds.", min=0, max=MAX_GRACE_S)
    ] = 0,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Give a key a new secret, and show it this once."""
    database = open_database(read_settings(data_dir=data_dir))
    with audited(database, cli_actor(), "key.rotate", target=key_target(key_id)) as change:
        made = rotate(change.connection, ANYONE, key_id, grace_s)
        change.detail = {"grace_s": grace_s}
        describe_key(change, made[1])
    _show(NewKeyOut.made(made), as_json)


@keys_app.command("revoke")
def end(key_id: KeyId, data_dir: DataDir = None) -> None:
    """Revoke a key; running services refuse it from its next request on."""
    database = open_database(read_settings(data_dir=data_dir))
    with audited(database, cli_actor(), "key.revoke", target=key_target(key_id)) as change:
        describe_key(change, revoke(change.connection, ANYONE, key_id))
    console.print(f"Revoked the key {key_id}.", markup=False)


def _scope(text: str) -> Scope:
    for scope in SCOPES:
        if scope == text:
            return scope
    raise InvalidInput("--scope", f"must be one of {', '.join(SCOPES)}, not {text!r}")


def _state(key: KeyOut) -> str:
    if key.revoked_at:
        return "revoked"
    if key.expires_at and key.expires_at <= now():
        return "expired"
    return f"until {key.expires_at:%Y-%m-%d}" if key.expires_at else "holds"


def _show(made: NewKeyOut, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    console.print(f"The key {made.id}, shown this once:")
    out.print(made.key, markup=False)
