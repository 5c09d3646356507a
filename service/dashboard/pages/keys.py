"""Keys: who may ask what; to make, renew and revoke one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from markupsafe import Markup
from nicegui import ui

from service.access import SCOPES
from service.api import collections, keys
from service.dashboard.desk import Desk
from service.dashboard.frame import heading, is_sure, page, show, told
from service.dashboard.markup import badge, moment, number, table
from service.key_schemas import KeyIn, KeyOut, NewKeyOut

RENEW = "Give this key a new secret? The one before ends at once."
REVOKE = "Revoke this key? Programs that use it are refused from now on."
COLUMNS = ("Key", "Scopes", "Collections", "State", "Made", "Last used", "Tokens today#")


@page("/keys", "Keys")
async def all_keys(desk: Desk) -> None:
    """Show the keys within reach, make new ones, and let each be renewed or revoked."""
    heading("Keys", "A key is shown once, when it is made. Once there is one, nobody is answered without.")
    with ui.row():
        ui.button("New key", icon="add", on_click=lambda: _make(desk, refresh))
        chosen: ui.select = ui.select({}, label="Key to renew or revoke").props("outlined dense").classes("wide")
        ui.button("Renew", icon="autorenew", on_click=lambda: _renew(desk, chosen.value, refresh))
        ui.button("Revoke", icon="block", on_click=lambda: _revoke(desk, chosen.value, refresh))
    listed = show(Markup(""))

    async def refresh() -> None:
        async with told("listing the keys"):
            found = (await desk.call(keys.list_all)).keys
            listed.content = _list(found)
            chosen.set_options({key.id: f"{key.name} ({key.id[:8]})" for key in found if key.revoked_at is None})

    await refresh()


async def _make(desk: Desk, done: Callable[[], Awaitable[None]]) -> None:
    names = [one.name for one in (await desk.call(collections.list_all)).collections]
    with ui.dialog(value=True) as dialog, ui.card().classes("form"):
        show(Markup("<h2>New key</h2>"))
        name = ui.input("Name, as of the program that will use it").props("outlined autofocus")
        scopes = ui.select(list(SCOPES), value=["read"], multiple=True, label="Scopes").props("outlined")
        bound = ui.select(names, value=[], multiple=True, label="Collections; all, if none is chosen").props("outlined")
        per_minute = ui.number("Requests a minute; no limit, if empty", min=1, precision=0).props("outlined")
        with ui.row():
            ui.button("Make the key", on_click=lambda: dialog.submit(True))
            ui.button("Leave it", on_click=lambda: dialog.submit(False)).props("flat")
    if not await dialog:
        return
    async with told("making a key"):
        made: NewKeyOut = await desk.call(
            keys.create,
            body=KeyIn(
                name=name.value or "",
                scopes=scopes.value,
                collections=bound.value or None,
                requests_per_minute=int(per_minute.value) if per_minute.value else None,
            ),
        )
        await done()
        _show_once(made)


async def _renew(desk: Desk, key_id: str | None, done: Callable[[], Awaitable[None]]) -> None:
    if key_id and await is_sure(RENEW, yes="Renew it", no="Leave it"):
        async with told("renewing a key"):
            made = await desk.call(keys.renew, key_id=key_id)
            await done()
            _show_once(made)


async def _revoke(desk: Desk, key_id: str | None, done: Callable[[], Awaitable[None]]) -> None:
    if key_id and await is_sure(REVOKE, yes="Revoke it", no="Leave it"):
        async with told("revoking a key"):
            await desk.call(keys.end, key_id=key_id)
            await done()


def _show_once(made: NewKeyOut) -> None:
    with ui.dialog(value=True).props("persistent") as dialog, ui.card().classes("form"):
        show(Markup("<h2>The key {}</h2><p>Copy it now: it is not shown again.</p>").format(made.name))
        show(Markup('<p><code id="new-key">{}</code></p>').format(made.key))
        ui.button("I have it", on_click=dialog.close)


def _list(found: list[KeyOut]) -> str:
    rows = [
        (
            Markup('{}<div class="faint">{}</div>').format(key.name, key.id),
            ", ".join(key.scopes),
            "all" if key.collections is None else ", ".join(key.collections) or "none any more",
            _state(key),
            moment(key.created_at),
            moment(key.used_at),
            number(key.tokens_today),
        )
        for key in found
    ]
    return table("Keys", COLUMNS, rows, empty="There is no key yet: the service answers this machine only.")


def _state(key: KeyOut) -> Markup:
    if key.revoked_at is not None:
        return badge("revoked", "bad")
    if key.expires_at is not None:
        return Markup("{} {}").format(badge("holds until"), moment(key.expires_at))
    return badge("holds", "good")
