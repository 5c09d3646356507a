"""The HTML of what pages show: every text from the memory is escaped here, by ``Markup.format`` and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import quote, urlencode

from markupsafe import Markup

ROOT = "/admin"
_LONG = 26  # characters, more than a moment has


def url(*path: object, **query: object) -> str:
    """Return the address of a page; what is None or empty is left out of the query."""
    told = {name: value for name, value in query.items() if value not in (None, "")}
    parts = "/".join(quote(str(part), safe="") for part in path)
    return f"{ROOT}/{parts}" + (f"?{urlencode(told)}" if told else "")


def link(text: object, address: str, label: str = "") -> Markup:
    """Return a link; ``label`` is read out in the place of a text that says too little."""
    if label:
        return Markup('<a href="{}" aria-label="{}">{}</a>').format(address, label, text)
    return Markup('<a href="{}">{}</a>').format(address, text)


def moment(at: datetime | None) -> Markup:
    """Return a moment in UTC, to the second."""
    if at is None:
        return Markup('<span class="faint">never</span>')
    there = at.astimezone(UTC)
    return Markup('<time datetime="{}">{} <span class="faint">UTC</span></time>').format(
        there.isoformat(), there.strftime("%Y-%m-%d %H:%M:%S")
    )


def number(value: float | None, unit: str = "") -> Markup:
    """Return a number with its thousands apart, and its unit."""
    if value is None:
        return Markup('<span class="faint">–</span>')
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
    return Markup('<span class="number">{}{}</span>').format(text, f" {unit}" if unit else "")


def size(count: int | None) -> Markup:
    """Return a number of bytes in the unit that suits it; a megabyte is 1,000,000 bytes."""
    if count is None:
        return number(None)
    for unit, length in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= length:
            return number(count / length, unit)
    return number(count, "bytes")


def milliseconds(value: float | None) -> Markup:
    """Return a time, in seconds where it is long."""
    if value is None:
        return number(None)
    if value >= 10_000:
        return number(value / 1_000, "s")
    text = f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"
    return Markup('<span class="number">{} ms</span>').format(text)


def badge(text: str, kind: str = "plain") -> Markup:
    """Return a short state; ``kind`` is one of good, bad, busy, plain."""
    return Markup('<span class="badge {}">{}</span>').format(kind, text)


@dataclass(frozen=True, kw_only=True)
class Head:
    """The head of a column that rows can be sorted by: ``address`` sorts by it, ``state`` says how they are now."""

    name: str
    address: str
    state: Literal["ascending", "descending", "none"]


def table(caption: str, columns: Sequence[str | Head], rows: Iterable[Sequence[object]], *, empty: str = "") -> Markup:
    """Return a table, or ``empty`` where it has no rows. A column whose name ends in ``#`` is set to the right."""
    body = list(rows)
    if not body:
        return Markup('<p class="empty">{}</p>').format(empty or "Nothing here yet.")
    right = [(one.name if isinstance(one, Head) else one).endswith("#") for one in columns]
    heads = Markup("").join(_head(one, is_right) for one, is_right in zip(columns, right, strict=True))
    lines = Markup("").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(
                Markup("<td{}>{}</td>").format(_side(is_right), cell) for cell, is_right in zip(row, right, strict=True)
            )
        )
        for row in body
    )
    return Markup(
        '<div class="scrolled" tabindex="0" role="region" aria-label="{0}"><table><caption>{0}</caption>'
        "<thead><tr>{1}</tr></thead><tbody>{2}</tbody></table></div>"
    ).format(caption, heads, lines)


def facts(pairs: Mapping[str, object]) -> Markup:
    """Return names and values, a pair a line; what is long gets the room of two."""
    lines = (
        Markup("<div{}><dt>{}</dt><dd>{}</dd></div>").format(
            Markup(' class="long"') if len(Markup.escape(value).striptags()) > _LONG else "", name, value
        )
        for name, value in pairs.items()
    )
    return Markup('<dl class="facts">{}</dl>').format(Markup("").join(lines))


def pager(older: str | None, first: str | None) -> Markup:
    """Return the way to the next page of a list and back to its first one, as far as there are any."""
    links = [link("First page", first)] if first else []
    links += [link("Next page", older)] if older else []
    if not links:
        return Markup("")
    return Markup('<nav class="pager" aria-label="Pages">{}</nav>').format(Markup(" ").join(links))


def _head(column: str | Head, is_right: bool) -> Markup:
    if isinstance(column, str):
        return Markup('<th scope="col"{}>{}</th>').format(_side(is_right), column.rstrip("#"))
    arrow = {"ascending": " ▲", "descending": " ▼", "none": ""}[column.state]
    return Markup('<th scope="col"{} aria-sort="{}"><a href="{}">{}<span aria-hidden="true">{}</span></a></th>').format(
        _side(is_right), column.state, column.address, column.name.rstrip("#"), arrow
    )


def _side(is_right: bool) -> Markup:
    return Markup(' class="right"') if is_right else Markup("")
