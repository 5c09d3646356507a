"""Keys: who may ask what; to make, renew and revoke one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, time, timedelta

from markupsafe import Markup
from nicegui import events, ui

from memory_graph.errors import InvalidInput
from memory_graph.store.rows import now
from service.access import SCOPES
from service.api import keys
from service.dashboard.desk import Desk
from service.dashboard.frame import heading, is_sure, page, show, told
from service.dashboard.job_parts import bar
from service.dashboard.markup import badge, moment, number, size, table
from service.key_schemas import KeyIn, KeyOut, NewKeyOut, RotateIn

REVOKE = "Revoke the key {}? Programs that use it are refused from now on."
COLUMNS = (
    "Key",
    "Scopes",
    "Collections",
    "State",
    "Last used",
    "Requests#",
    "Tokens today#",
    "Learned today#",
    "Change",
)
# Sends what the button that was clicked in the table is for.
_CLICKED = """(event) => {
  const one = event.target.closest('button[data-key]');
  if (one) emit([one.dataset.do, one.dataset.key, one.dataset.name]);
}"""
MB = 10**6
# For how long the secret before a renewal still holds, in seconds.
GRACES = {0: "at once", 3_600: "after an hour", 86_400: "after a day", 604_800: "after a week"}


@page("/keys", "Keys")
async def all_keys(desk: Desk) -> None:
    """Show the keys within reach, make new ones, and let each be renewed or revoked."""
    heading("Keys", "A key is shown once, when it is made. Once there is one, nobody is answered without.")
    with ui.row():
        ui.button("New key", icon="add", on_click=lambda: _make(desk, refresh))
    listed = show(Markup(""))

    async def refresh() -> None:
        async with told("listing the keys"):
            listed.content = _list((await desk.call(keys.list_all)).keys)

    async def act(event: events.GenericEventArguments) -> None:
        doing, key_id, name = map(str, event.args)
        await (_renew if doing == "renew" else _revoke)(desk, key_id, name, refresh)

    listed.on("click", act, js_handler=_CLICKED)
    await refresh()


async def _make(desk: Desk, done: Callable[[], Awaitable[None]]) -> None:
    names = await desk.list_names()
    with ui.dialog(value=True).props('aria-label="New key"') as dialog, ui.card().classes("form"):
        show(Markup("<h2>New key</h2>"))
        name = ui.input("Name, as of the program that will use it").props("outlined autofocus")
        scopes = ui.select(list(SCOPES), value=["read"], multiple=True, label="Scopes").props("outlined")
        bound = ui.select(names, value=[], multiple=True, label="Collections; all, if none is chosen").props("outlined")
        per_minute = ui.number("Requests a minute; no limit, if empty", min=1, precision=0).props("outlined")
        per_day = ui.number("Tokens a day (UTC); no limit, if empty", min=1, precision=0).props("outlined")
        learned = ui.number("Megabytes to learn a day (UTC); no limit, if empty", min=1, precision=0).props("outlined")
        until = ui.input("Last day that it holds (UTC); no end, if empty").props('outlined type="date" stack-label')
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
                expires_at=_end_of(until.value) if until.value else None,
                requests_per_minute=int(per_minute.value) if per_minute.value else None,
                tokens_per_day=int(per_day.value) if per_day.value else None,
                bytes_per_day=int(learned.value) * MB if learned.value else None,
            ),
        )
        await done()
        _show_once(made)


async def _renew(desk: Desk, key_id: str, name: str, done: Callable[[], Awaitable[None]]) -> None:
    with ui.dialog(value=True).props('aria-label="Renew this key?"') as dialog, ui.card().classes("form"):
        show(Markup("<h2>Give the key {} a new secret?</h2>").format(name))
        grace = ui.select(GRACES, value=0, label="The secret before ends").props("outlined")
        with ui.row():
            ui.button("Renew it", color="negative", on_click=lambda: dialog.submit(True))
            ui.button("Leave it", on_click=lambda: dialog.submit(False)).props("flat")
    if await dialog:
        async with told("renewing a key"):
            made = await desk.call(keys.renew, key_id=key_id, body=RotateIn(grace_s=grace.value))
            await done()
            _show_once(made)


async def _revoke(desk: Desk, key_id: str, name: str, done: Callable[[], Awaitable[None]]) -> None:
    if await is_sure(REVOKE.format(name), yes="Revoke it", no="Leave it"):
        async with told("revoking a key"):
            await desk.call(keys.end, key_id=key_id)
            await done()


def _show_once(made: NewKeyOut) -> None:
    with (
        ui.dialog(value=True).props('persistent aria-label="The new key, shown once"') as dialog,
        ui.card().classes("form"),
    ):
        show(Markup("<h2>The key {}</h2><p>Copy it now: it is not shown again.</p>").format(made.name))
        show(Markup('<p><code id="new-key">{}</code></p>').format(made.key))
        ui.button("I have it", on_click=dialog.close)


def _list(found: list[KeyOut]) -> Markup:
    rows = [
        (
            Markup('{}<div class="faint whole">{}</div>').format(key.name, key.id),
            ", ".join(key.scopes),
            "all" if key.collections is None else ", ".join(key.collections) or "none any more",
            _state(key),
            Markup('{}<div class="faint">made {}</div>').format(moment(key.used_at), moment(key.created_at)),
            number(key.requests_per_minute, "a minute") if key.requests_per_minute else "no limit",
            _spent(key.name, "Tokens", key.tokens_today, key.tokens_per_day),
            _spent(key.name, "Bytes", key.bytes_today, key.bytes_per_day),
            _buttons(key) if key.revoked_at is None else "",
        )
        for key in found
    ]
    listed = table("Keys", COLUMNS, rows, empty="There is no key yet: the service answers this machine only.")
    if found:
        listed += Markup(
            '<p class="faint">Since midnight UTC: tokens of questions and of learning with a language model, and bytes '
            "of documents, files and pages that were given to be learned.</p>"
        )
    return listed


def _buttons(key: KeyOut) -> Markup:
    one = Markup(
        '<button type="button" class="small" data-do="{}" data-key="{}" data-name="{}" aria-label="{}">{}</button>'
    )
    pairs = (("renew", "Renew"), ("revoke", "Revoke"))
    return Markup(" ").join(one.format(doing, key.id, key.name, f"{said} {key.name}", said) for doing, said in pairs)


def _spent(name: str, what: str, today: int, most: int | None) -> Markup:
    shown = size(today) if what == "Bytes" else number(today)
    if most is None:
        return Markup('{}<div class="faint">no limit</div>').format(shown)
    return shown + bar(min(100.0 * today / most, 100.0), f"{what} of {name} spent today", f" of {most:,}")


def _state(key: KeyOut) -> Markup:
    if key.revoked_at is not None:
        return Markup("{} {}").format(badge("revoked", "bad"), moment(key.revoked_at))
    if key.expires_at is not None and key.expires_at <= now():
        return Markup("{} {}").format(badge("expired", "bad"), moment(key.expires_at))
    states = [badge("holds", "good")]
    if key.expires_at is not None:
        states = [Markup("{} {}").format(badge("holds until", "good"), moment(key.expires_at))]
    if key.old_until is not None and key.old_until > now():
        states.append(Markup("{} {}").format(badge("the secret before, until", "busy"), moment(key.old_until)))
    return Markup(" ").join(states)


def _end_of(day: str) -> datetime:
    """Return the end of a day, in UTC. Errors: ``InvalidInput``."""
    try:
        return datetime.combine(date.fromisoformat(day), time.min, UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise InvalidInput("expires_at", f"must be a day such as 2027-01-31, not {day!r}") from None
