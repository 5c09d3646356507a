"""Which questions the log shows: a form whose fields stand in the address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from markupsafe import Markup

from memory_graph.errors import InvalidInput
from service.dashboard.markup import url

MAX_TEXT_CHARS = 1_000
MAX_MS = 10**9

OUTCOMES = {"": "any", "no": "not in memory", "yes": "answered"}
RATINGS = {"": "any", "down": "rated down", "up": "rated up", "none": "not rated"}
FALLBACKS = {"": "any", "yes": "answered around", "no": "as asked for"}
ORDERS = {"": "newest first", "unanswered_first": "unanswered first"}


@dataclass(frozen=True, kw_only=True)
class QuestionFilters:
    """What stands in the address, as it was typed; an empty field does not matter. Days are in UTC, both included."""

    q: str = ""
    collection: str = ""
    outcome: str = ""
    rated: str = ""
    fallback: str = ""
    since: str = ""
    until: str = ""
    least_ms: str = ""
    order: str = ""

    def to_query(self) -> dict[str, Any]:
        """Return the parameters of ``GET /v1/queries``. Errors: ``InvalidInput`` for a field that makes no sense."""
        least = self.least_ms.strip()
        if least and not (least.isdecimal() and len(least) < 10):
            raise InvalidInput("least_ms", f"must be milliseconds as a whole number up to {MAX_MS - 1}")
        until = _read_day("until", self.until)
        given = {
            "q": self.q.replace("\0", "")[:MAX_TEXT_CHARS],
            "collection": self.collection or None,
            "answered": {"yes": True, "no": False}.get(self.outcome),
            "fallback": {"yes": True, "no": False}.get(self.fallback),
            "rating": {"up": "1", "down": "-1"}.get(self.rated),
            "rated": False if self.rated == "none" else None,
            "since": _read_day("since", self.since),
            "until": until and until + timedelta(days=1),
            "least_ms": int(least) if least else None,
            "order": "unanswered_first" if self.order == "unanswered_first" else "newest",
        }
        return {name: value for name, value in given.items() if value not in (None, "")}

    def url(self, **more: str | None) -> str:
        """Return the address of the page with these filters."""
        return url("questions", **{one.name: getattr(self, one.name) for one in fields(self)}, **more)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is narrowed down."""
        return self == QuestionFilters(order=self.order)


def draw_filters(chosen: QuestionFilters, collections: Sequence[str]) -> Markup:
    """Return the form: it works without a script, and what it asks for can be sent to somebody."""
    named = {"": "all", **{name: name for name in collections}}
    parts = (
        _field("q", "Question or answer holds", "search", chosen.q),
        _select("collection", "Collection", named, chosen.collection),
        _select("outcome", "Outcome", OUTCOMES, chosen.outcome),
        _select("rated", "Rating", RATINGS, chosen.rated),
        _select("fallback", "Fallback", FALLBACKS, chosen.fallback),
        _field("since", "From this day on (UTC)", "date", chosen.since),
        _field("until", "Up to this day (UTC)", "date", chosen.until),
        _field("least_ms", "Took at least (ms)", "number", chosen.least_ms),
        _select("order", "Order", ORDERS, chosen.order),
    )
    clear = Markup("") if chosen.is_empty else Markup('<a href="{}">Clear</a>').format(url("questions"))
    return Markup(
        '<form class="filters" method="get" action="{}" role="search" aria-label="Filter questions">{}'
        "<button>Show</button>{}</form>"
    ).format(url("questions"), Markup("").join(parts), clear)


def _field(name: str, label: str, kind: str, value: str) -> Markup:
    extra = Markup(' min="0" step="1"') if kind == "number" else Markup("")
    return Markup('<label>{}<input name="{}" type="{}" value="{}"{}></label>').format(label, name, kind, value, extra)


def _select(name: str, label: str, options: Mapping[str, str], value: str) -> Markup:
    lines = Markup("").join(
        Markup('<option value="{}"{}>{}</option>').format(one, Markup(" selected" if one == value else ""), text)
        for one, text in options.items()
    )
    return Markup('<label>{}<select name="{}">{}</select></label>').format(label, name, lines)


def _read_day(name: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        day = datetime.combine(date.fromisoformat(text), time(), UTC)
        day + timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(name, "must be a day such as 2026-01-31") from error
    return day
