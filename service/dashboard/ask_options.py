"""How a question is asked: what the API allows, as fields of a form and as they stand in an address."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, get_args

from nicegui import ui

from memory_graph.errors import InvalidInput
from retrieval.reorder import Order
from retrieval.search import Mode, Rerank
from retrieval.strategies.task import Strategy
from service.recall_schemas import QueryIn

MODES: tuple[Mode, ...] = get_args(Mode)
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
RERANKS: tuple[Rerank, ...] = get_args(Rerank)
ORDERS: tuple[Order, ...] = get_args(Order)
BY_MODE = "by mode"
"""The choice of reranking that leaves it to the mode."""


def choose(label: str, options: Sequence[str], value: str) -> ui.select:
    """Put a choice on the page; a value that is none of the options is the first of them."""
    known = value if value in options else options[0]
    return ui.select(list(options), value=known, label=label).props("outlined").classes("choice")


class Options:
    """The fields of a form below the question, filled from what stands in the address."""

    def __init__(self, told: dict[str, str]) -> None:
        with ui.row().classes("ask"):
            self._mode = choose("Mode", MODES, told.get("mode", ""))
            self._strategy = choose("Strategy", STRATEGIES, told.get("strategy", ""))
            self._rerank = choose("Ranked again", (BY_MODE, *RERANKS), told.get("rerank", ""))
            self._order = choose("Order for the model", ORDERS, told.get("order", ""))
            top_k = told.get("top_k", "")
            count = int(top_k) if top_k.isdecimal() and 1 <= len(top_k) <= 4 else 5
            self._top_k = ui.number("Passages", value=count, min=1, max=1000, precision=0).props("outlined")
            self._top_k.classes("count")
            self._filter = ui.input("Filter (JSON)", value=told.get("filter", "")).props("outlined").classes("wide")
            self._warm = ui.checkbox("Begin with a kept note", value=bool(told.get("warm_start")))
            self._warm.bind_visibility_from(self._strategy, "value", lambda value: value == "notes")

    def to_body(self, question: str) -> QueryIn:
        """Return the body of the request. Errors: ``InvalidInput`` for a filter that is not JSON; pydantic's."""
        return QueryIn.model_validate(
            {
                "question": question,
                "mode": self._mode.value,
                "strategy": self._strategy.value,
                "rerank": None if self._rerank.value == BY_MODE else self._rerank.value,
                "order": self._order.value,
                "top_k": self._top_k.value,
                "filter": _read_filter(self._filter.value or ""),
                "warm_start": self._warm.value and self._strategy.value == "notes",
            }
        )


def to_address(body: QueryIn) -> dict[str, object]:
    """Return what of a request stands in the address of the page: what differs from the defaults."""
    fields = ("mode", "strategy", "rerank", "order", "top_k", "warm_start")
    told: dict[str, object] = {"q": body.question}
    for name in fields:
        value = getattr(body, name)
        if value != QueryIn.model_fields[name].default:
            told[name] = value
    if body.filter:
        told["filter"] = json.dumps(body.filter, ensure_ascii=False)
    return told


def _read_filter(text: str) -> Any:
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidInput("filter", 'must be a JSON object, such as {"year": {"gte": 1900}}')
    return found
