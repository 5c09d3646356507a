"""The list of documents: narrowed, sorted, a page at a time, all of it in the address; and learning new ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import get_args

from markupsafe import Markup

from memory_graph.errors import InvalidInput
from memory_graph.store.listing import DocumentSort
from service.api import collections, documents
from service.dashboard.choosing import ALL, Choosing, tick
from service.dashboard.desk import Desk
from service.dashboard.following import offer_progress
from service.dashboard.frame import heading, page, show
from service.dashboard.markup import Head, link, moment, number, table, url
from service.dashboard.uploads import offer_upload
from service.document_cursors import Direction
from service.learning_schemas import DocumentOut, DocumentsOut
from service.schemas import CollectionOut

PAGE = 50
EMPTY = "No documents yet. Drop files above, or run: sharpwave ingest FOLDER"
NARROWED_EMPTY = "No document is so."
PATIENCE_S = 1.0  # that a page goes on looking for what is rare
_COPIES = {"": "with or without copies", "true": "with copies", "false": "without copies"}
_FORM = Markup(
    '<form class="narrow" role="search" action="{action}">{hidden}'
    '<label>Title, id or source <input type="search" name="q" value="{q}" maxlength="1000"></label>'
    '<label>Source, in full <input name="source" value="{source}" maxlength="2000"></label>'
    '<label>Learned from (UTC) <input type="date" name="since" value="{since}"></label>'
    '<label>to <input type="date" name="until" value="{until}"></label>'
    '<label>Copies <select name="copies">{copies}</select></label>'
    "<button>Search</button>{clear}</form>"
)


@page("/c/{collection}/documents", "Documents")
async def all_documents(
    desk: Desk,
    collection: str,
    q: str = "",
    source: str = "",
    job: str = "",
    copies: str = "",
    since: str = "",
    until: str = "",
    sort: str = "learned",
    order: str = "asc",
    cursor: str = "",
    back: str = "",
) -> None:
    """Show the documents, a page at a time, and take new ones."""
    whole: CollectionOut = await desk.call(collections.show, collection=collection)
    heading("Documents", Markup("The collection {} holds {} documents.").format(collection, number(whole.documents)))
    offer_upload(desk, collection, offer_progress(desk, collection))
    narrowing = {"q": q, "source": source, "job": job, "copies": copies, "since": since, "until": until}
    sorting = {"sort": _one_of("sort", sort, get_args(DocumentSort)), "order": _one_of("order", order, ORDERS)}
    show(_draw_form(collection, narrowing, sorting))
    found, went_on = await _look(desk, collection, {**_wanted(narrowing), **sorting}, cursor or None, bool(back))
    rows = [_row(collection, one) for one in found.documents]
    is_narrowed = any(narrowing.values())
    empty = NARROWED_EMPTY if is_narrowed else EMPTY
    if not rows and went_on:
        empty = "None found so far."
    columns = ("Title", "Source", "Passages#", "Learned", "Occurred")
    heads = [ALL, *(_head(name, collection, narrowing, sorting) for name in columns)]
    if rows:
        choosing = Choosing(desk, collection, {one.id: one.title for one in found.documents})
        choosing.follow(show(table("Documents", heads, rows)))
    else:
        show(table("Documents", heads, rows, empty=empty))
    if went_on:
        show(Markup('<p role="status">There are more documents to look at: go on with “Next page”.</p>'))
    show(_draw_pager(found, collection, {**narrowing, **sorting}, is_first=not cursor))


ORDERS = get_args(Direction)
_SORTED: dict[str, str] = {"Title": "title", "Passages#": "passages", "Learned": "learned", "Occurred": "occurred"}


async def _look(
    desk: Desk, collection: str, wanted: Mapping[str, object], cursor: str | None, backwards: bool
) -> tuple[DocumentsOut, bool]:
    """Return a page that is as full as it gets in a second, and whether documents are left to look at."""
    until = monotonic() + PATIENCE_S
    found: list[DocumentOut] = []
    first: DocumentsOut | None = None
    while True:
        part: DocumentsOut = await desk.call(
            documents.list_page, collection=collection, cursor=cursor, limit=PAGE - len(found), **wanted
        )
        first = first or part
        found = [*part.documents, *found] if backwards else [*found, *part.documents]
        cursor = part.previous_cursor if backwards else part.next_cursor
        if cursor is None or len(found) == PAGE or monotonic() > until:
            break
    previous, following = (cursor, first.next_cursor) if backwards else (first.previous_cursor, cursor)
    is_short = cursor is not None and len(found) < PAGE
    return DocumentsOut(documents=found, previous_cursor=previous, next_cursor=following), is_short


def _wanted(narrowing: Mapping[str, str]) -> dict[str, object]:
    """Return what the address says as the route takes it. Errors: ``InvalidInput``."""
    for name, most in (("q", 1_000), ("source", 2_000), ("job", 36)):
        if len(narrowing[name]) > most or "\0" in narrowing[name]:
            raise InvalidInput(name, f"is up to {most:,} characters without NUL")
    copies = _one_of("copies", narrowing["copies"], tuple(_COPIES))
    until = _day("until", narrowing["until"])
    return {
        "q": narrowing["q"],
        "source": narrowing["source"] or None,
        "job": narrowing["job"] or None,
        "copies": {"true": True, "false": False}.get(copies),
        "since": _day("since", narrowing["since"]),
        "until": None if until is None else until + timedelta(days=1),  # that day too
    }


def _day(name: str, said: str) -> datetime | None:
    if not said:
        return None
    try:
        day = datetime.strptime(said, "%Y-%m-%d").replace(tzinfo=UTC)
        day + timedelta(days=1)
    except (ValueError, OverflowError):
        raise InvalidInput(name, f"{said!r} is no day such as 2026-01-31") from None
    return day


def _one_of(name: str, said: str, known: tuple[str, ...]) -> str:
    if said not in known:
        raise InvalidInput(name, f"must be one of {', '.join(filter(None, known))}")
    return said


def _draw_form(collection: str, narrowing: Mapping[str, str], sorting: Mapping[str, str]) -> Markup:
    here = url("c", collection, "documents")
    kept = {**sorting, "job": narrowing["job"]}
    hidden = Markup("").join(
        Markup('<input type="hidden" name="{}" value="{}">').format(name, value)
        for name, value in kept.items()
        if value
    )
    options = Markup("").join(
        Markup('<option value="{}"{}>{}</option>').format(
            value, Markup(" selected") if value == narrowing["copies"] else "", name
        )
        for value, name in _COPIES.items()
    )
    is_narrowed = any(narrowing.values())
    said = {name: narrowing[name] for name in ("q", "source", "since", "until")}
    of_job = Markup(" of the job {}").format(link(narrowing["job"][:8], url("jobs", narrowing["job"])))
    clear = Markup("{} {}").format(of_job if narrowing["job"] else "", link("Show all", here)) if is_narrowed else ""
    return _FORM.format(action=here, hidden=hidden, copies=options, clear=clear, **said)


def _head(name: str, collection: str, narrowing: Mapping[str, str], sorting: Mapping[str, str]) -> str | Head:
    """Return a head that sorts by its column, or the other way where that is so already."""
    sort = _SORTED.get(name)
    if sort is None:
        return name
    is_now = sorting["sort"] == sort
    order = "desc" if is_now and sorting["order"] == "asc" else "asc"
    address = url("c", collection, "documents", **narrowing, sort=sort, order=order)
    rising = "ascending" if sorting["order"] == "asc" else "descending"
    return Head(name=name, address=address, state=rising if is_now else "none")  # type: ignore[arg-type]


def _row(collection: str, document: DocumentOut) -> tuple[object, ...]:
    named = link(document.title or document.id, url("c", collection, "documents", document.id))
    return (
        tick(document.id, document.title),
        Markup('{}<div class="faint">{}</div>').format(named, document.id) if document.title else named,
        document.source if document.source and document.source != document.id else "",
        number(document.passages),
        moment(document.created_at),
        moment(document.occurred_at) if document.occurred_at else "",
    )


def _draw_pager(found: DocumentsOut, collection: str, kept: Mapping[str, str], *, is_first: bool) -> Markup:
    links = []
    if not is_first:
        links.append(link("First page", url("c", collection, "documents", **kept)))
    if found.previous_cursor:
        before = url("c", collection, "documents", **kept, cursor=found.previous_cursor, back="1")
        links.append(link("Previous page", before))
    if found.next_cursor:
        links.append(link("Next page", url("c", collection, "documents", **kept, cursor=found.next_cursor)))
    if not links:
        return Markup("")
    return Markup('<nav class="pager" aria-label="Pages">{}</nav>').format(Markup(" ").join(links))
