"""The part of the page of the graph that lives: the picture, its tables, and the name that is looked at."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from markupsafe import Markup
from nicegui import events, ui

from memory_graph.errors import NotFound, SharpwaveError
from memory_graph.graph_files import TIE_KINDS
from memory_graph.text import normalize
from service.api import corrections, inspection
from service.dashboard import graph_corrections
from service.dashboard.desk import Desk
from service.dashboard.frame import is_sure, section, show, told, visit
from service.dashboard.graph_export import FORMATS
from service.dashboard.graph_finder import open_dialog
from service.dashboard.graph_layout import place
from service.dashboard.graph_paths import PathFinder
from service.dashboard.graph_picture import FOLLOW, KINDS, SAVE, legend, options
from service.dashboard.graph_state import LIMITS, Shown
from service.dashboard.graph_tables import (
    corrections_made,
    fact_evidence,
    merges_followed,
    names_shown,
    phrase_facts,
    phrase_head,
    phrase_places,
    phrase_synonyms,
    save_as,
    ties_shown,
)
from service.dashboard.markup import pager
from service.inspection_schemas import (
    CommunitiesOut,
    CorrectionsOut,
    FactDetailOut,
    NameGraphOut,
    PhraseDetailOut,
    PhrasesOut,
)

UNDO = "Undo this correction? What it changed will be as it was read."
CORRECTIONS = 20
FIRST = 100  # names, of a picture of more, that are drawn while the others are read
STEPS = range(1, 7)
_ACTS = """(event) => {
  const button = event.target.closest?.("button[data-act]");
  if (button) emit(button.dataset.act, Number(button.dataset.id));
}"""

Act = Callable[[int], Coroutine[Any, Any, None]]


class Explorer:
    """One open page: what it shows, and what its buttons do."""

    def __init__(self, desk: Desk, collection: str, shown: Shown) -> None:
        self._desk = desk
        self._collection = collection
        self.shown = shown
        self._graph = NameGraphOut(names=[], ties=[], cut=False)
        self._places: dict[int, tuple[float, float]] = {}
        self._pages = {"names": 0, "ties": 0}
        self._asked = 0  # how often the memory was asked for a picture
        self._ahead: asyncio.Task[NameGraphOut] | None = None  # what is drawn first
        self._chart: ui.echart | None = None
        self._phrase: PhraseDetailOut | None = None

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Hold what the buttons are in, and act on them."""
        with ui.column().on("click", self._act, js_handler=_ACTS):
            yield

    def follow(self) -> None:
        """Let the page's labels follow light and dark, and the way back lead to the picture before."""
        element = self._chart.id if self._chart is not None else 0
        ui.run_javascript(FOLLOW.replace("ID", str(element)))

    def offer_picture(self) -> None:
        """Put the picture with all that belongs to it; it is drawn once the page is there, since that takes a while."""
        self._controls()
        self._followed = show(Markup("")).props('role="status"')
        with ui.element("div").classes("graph"):
            with ui.column():
                self._status = show(Markup("<p>Drawing …</p>")).props('role="status"')
                self._chart = ui.echart({"series": []}).classes("picture")
                # Not ``on_point_click``: it wants a value of each point, and names have none.
                self._chart.on("chart:click", self._click, ["dataType", "data"])
                self._chart.on("chart:dblclick", self._open, ["dataType", "data"])
                self._chart.props('role="img" aria-label="The graph; the tables below hold the same."')
                self._legend = show(Markup(""))
                show(save_as(("png", "svg", *FORMATS)))
            with ui.column().classes("panel"):
                self._panel = show(Markup('<p class="empty">Choose a name to see its facts and where it stands.</p>'))
        section("Names in the picture")
        self._names = show(Markup(""))
        section("Ties in the picture")
        self._ties = show(Markup(""))
        # Read while the browser builds the page; what goes wrong is said when it is drawn.
        self._ahead = asyncio.create_task(self._read(min(self.shown.limit, FIRST)))
        self._ahead.add_done_callback(lambda read: read.cancelled() or read.exception())
        ui.timer(0.01, self._draw_first, once=True)

    def offer_path(self) -> None:
        """Put the fields for two names, and the paths between them."""
        self._finder = PathFinder(self._desk, self._collection, self.shown.source, self.shown.target, self._note_path)

    async def list_corrections(self, cursor: str) -> None:
        """Put a page of the corrections of the collection, the newest first."""
        answer: CorrectionsOut = await self._desk.call(
            corrections.list_page, collection=self._collection, limit=CORRECTIONS, cursor=cursor or None
        )
        show(corrections_made(answer.corrections))
        here, following = self.shown.address(self._collection), answer.next_cursor
        older = self.shown.address(self._collection, cursor=following) if following else None
        show(pager(older, here if cursor else None))

    async def _draw_first(self) -> None:
        async with told("drawing the graph"):
            try:
                is_large = self.shown.limit > FIRST
                if is_large:  # something to look at, while the rest is read
                    await self._refresh(limit=FIRST)
                if not is_large or self._graph.cut:
                    if is_large:
                        self._status.content = "<p>The nearest names. Reading the others …</p>"
                        self._places = {}  # the same address gives the same picture, however it came about
                    await self._refresh()
                self._show_tables()
                if self.shown.chosen is not None:
                    await self._choose(self.shown.chosen)
            except SharpwaveError as error:
                self._status.content = str(Markup('<p class="empty">{}</p>').format(error.message))
                raise

    def _controls(self) -> None:
        with ui.row().classes("ask").props('role="group" aria-label="What is shown"'):
            boxes = {
                kind: ui.checkbox(KINDS[kind], value=kind in self.shown.kinds, on_change=lambda: again())
                for kind in TIE_KINDS
            }
            least = ui.number("In at least … passages", value=self.shown.least, min=1, precision=0)
            steps = ui.select(list(STEPS), value=min(self.shown.steps, STEPS[-1]), label="Steps around")
            limit = ui.select(list(LIMITS), value=_nearest(self.shown.limit), label="Names at most")
            for field in (least, steps, limit):
                field.props("outlined dense color=mark").classes("number-field")

        async def again() -> None:
            kinds = tuple(kind for kind in TIE_KINDS if boxes[kind].value)
            if not kinds:
                ui.notify("At least one kind of tie must be shown.", type="warning")
                return
            least_now = max(int(least.value or 1), 1)
            async with told("drawing the graph"):
                await self._change(
                    replace(self.shown, kinds=kinds, least=least_now, steps=steps.value, limit=limit.value)
                )

        for field in (least, steps, limit):
            field.on_value_change(again)

    async def _change(self, shown: Shown) -> None:
        """Show something else, and let the address say so."""
        if self._chart is None or shown.is_empty:
            visit(shown.address(self._collection))
            return
        before = self.shown
        self.shown = shown
        try:
            await self._refresh()
        except SharpwaveError:
            self.shown = before
            raise
        self._pages = {"names": 0, "ties": 0}
        self._show_tables()
        ui.navigate.history.push(shown.address(self._collection))

    async def _refresh(self, limit: int | None = None) -> None:
        """Read and draw what is shown, or the nearest ``limit`` names of it; what was asked for since comes instead."""
        self._asked += 1
        mine = self._asked
        ahead, self._ahead = self._ahead, None
        graph = await (ahead or self._read(limit or self.shown.limit))
        if mine != self._asked:
            return
        if graph.merged:
            self._follow(graph)
        hidden = set(self.shown.hidden)
        self._graph = NameGraphOut(
            names=[one for one in graph.names if one.id not in hidden],
            ties=[one for one in graph.ties if not {one.source, one.target} & hidden],
            cut=graph.cut,
        )
        self._lay_out()
        self._show_picture()

    def _follow(self, graph: NameGraphOut) -> None:
        """Show what names became that were asked for and were merged away, and let the page and its address say so."""
        chosen, community = self.shown.chosen, self.shown.community
        for one in graph.merged:
            self.shown = self.shown.with_merged([one.id], one.into)
            chosen = one.into if chosen == one.id else chosen
        self.shown = replace(self.shown, chosen=chosen, community=community)
        self._followed.content = str(merges_followed(graph.merged))
        ui.navigate.history.replace(self.shown.address(self._collection))

    async def _read(self, limit: int) -> NameGraphOut:
        members = list(self.shown.members)
        if self.shown.community is not None:
            members += await self._community(self.shown.community)
        members = [one for one in dict.fromkeys(members) if one not in self.shown.phrases]
        found: NameGraphOut = await self._desk.call(
            inspection.show_neighbourhood,
            collection=self._collection,
            phrase=list(self.shown.phrases),
            member=members,
            kind=list(self.shown.kinds),
            least=self.shown.least,
            steps=self.shown.steps,
            limit=max(limit, len(self.shown.phrases) + len(members)),
        )
        return found

    async def _community(self, phrase_id: int) -> list[int]:
        answer: CommunitiesOut = await self._desk.call(inspection.list_communities, collection=self._collection)
        for one in answer.communities:
            if phrase_id in one.phrase_ids:
                return one.phrase_ids
        raise NotFound("community of phrase", str(phrase_id))

    def _lay_out(self) -> None:
        names = [one.id for one in self._graph.names]
        groups = {one.id: one.community for one in self._graph.names}
        ties = [(one.source, one.target, one.weight) for one in self._graph.ties]
        known = {one: self._places[one] for one in names if one in self._places}
        self._places = place(names, groups, ties, known)

    def _show_picture(self) -> None:
        assert self._chart is not None
        opened, graph = set(self.shown.phrases), self._graph
        self._chart.options.clear()
        self._chart.options.update(options(graph, self._places, opened=opened, chosen=self.shown.chosen))
        self._chart.update()
        self._legend.content = str(legend(graph))
        more = " More is joined with them: raise the number of names, or look at fewer." if graph.cut else ""
        self._status.content = str(
            Markup("<p>{:,} names, {:,} ties.{}</p>").format(len(graph.names), len(graph.ties), more)
        )

    def _show_tables(self) -> None:
        self._names.content = str(names_shown(self._graph, set(self.shown.phrases), self._pages["names"]))
        self._ties.content = str(ties_shown(self._graph, self._pages["ties"]))

    async def _click(self, event: events.GenericEventArguments) -> None:
        kind, drawn = event.args.get("dataType"), event.args.get("data")
        if kind == "node":
            await self._act_on("choose", int(drawn["id"]))
        elif kind == "edge" and drawn["k"] == "fact":
            found = [one.fact_id for one in self._graph.ties if _is(one, drawn)]
            await self._act_on("evidence", found[0] or 0)

    async def _open(self, event: events.GenericEventArguments) -> None:
        """Expand the name that was clicked twice; the first of the clicks chose it."""
        if event.args.get("dataType") == "node" and int(event.args["data"]["id"]) not in self.shown.phrases:
            await self._act_on("expand", int(event.args["data"]["id"]))

    async def _act(self, event: events.GenericEventArguments) -> None:
        act, row_id = event.args
        await self._act_on(str(act), int(row_id))

    async def _act_on(self, act: str, row_id: int) -> None:
        acts: Mapping[str, Act] = {
            "choose": self._choose_here,
            "expand": self._expand,
            "collapse": self._collapse,
            "remove": lambda one: self._change(self.shown.without(one)),
            "show": self._show_name,
            "evidence": self._show_evidence,
            "retract": self._retract,
            "merge": self._merge,
            "split": self._split,
            "undo": self._undo,
            "path-from": self._path_from,
            "show-path": self._show_path,
            **{f"save-{kind}": partial(self._save_picture, kind) for kind in ("png", "svg")},
            **{f"save-{name}": partial(self._save_data, name) for name in FORMATS},
            "names-page": lambda page: self._turn("names", page),
            "ties-page": lambda page: self._turn("ties", page),
        }
        if act in acts:
            async with told("acting on the graph"):
                await acts[act](row_id)

    async def _turn(self, which: str, to: int) -> None:
        self._pages[which] = max(to, 0)
        self._show_tables()

    async def _expand(self, phrase_id: int) -> None:
        await self._change(self.shown.with_expanded(phrase_id))
        if self._phrase is not None:
            self._show_phrase()

    async def _collapse(self, phrase_id: int) -> None:
        await self._change(self.shown.with_collapsed(phrase_id))
        if self._phrase is not None:
            self._show_phrase()

    async def _show_name(self, phrase_id: int) -> None:
        await self._change(self.shown.with_shown([phrase_id]))
        await self._choose_here(phrase_id)

    async def _choose_here(self, phrase_id: int) -> None:
        self.shown = replace(self.shown, chosen=phrase_id)
        ui.navigate.history.replace(self.shown.address(self._collection))
        await self._choose(phrase_id)
        self._show_picture()

    async def _choose(self, phrase_id: int) -> None:
        self._phrase = await self._read_phrase(phrase_id)
        self.shown = replace(self.shown, chosen=self._phrase.id)
        self._show_phrase()

    async def _read_phrase(self, phrase_id: int) -> PhraseDetailOut:
        found: PhraseDetailOut = await self._desk.call(
            inspection.show_phrase, collection=self._collection, phrase_id=phrase_id
        )
        return found

    def _show_phrase(self) -> None:
        phrase = self._phrase
        assert phrase is not None
        head = phrase_head(
            self._collection,
            phrase,
            is_open=phrase.id in self.shown.phrases,
            is_shown=any(one.id == phrase.id for one in self._graph.names),
        )
        parts = ("Facts", phrase_facts(phrase)), ("Synonyms", phrase_synonyms(phrase))
        body = Markup("").join(Markup("<h3>{}</h3>{}").format(title, html) for title, html in parts)
        places = Markup("<h3>Where it stands</h3>{}").format(phrase_places(self._collection, phrase))
        self._panel.content = str(head + body + places)

    async def _show_evidence(self, fact_id: int) -> None:
        fact = await self._read_fact(fact_id)
        ends = [await self._read_phrase(end.id) for end in (fact.subject, fact.object)]
        surfaces = [one.surface for end in ends for one in end.surfaces]
        with open_dialog("Evidence") as dialog, ui.card().classes("form"):
            show(fact_evidence(self._collection, fact, surfaces))
            ui.button("Close", color=None, on_click=dialog.close).props("flat")

    async def _read_fact(self, fact_id: int) -> FactDetailOut:
        found: FactDetailOut = await self._desk.call(inspection.show_fact, collection=self._collection, fact_id=fact_id)
        return found

    def _note_path(self, source: str, target: str) -> None:
        self.shown = replace(self.shown, source=source, target=target)
        ui.navigate.history.replace(self.shown.address(self._collection))

    async def _path_from(self, phrase_id: int) -> None:
        self._finder.begin_at((await self._read_phrase(phrase_id)).name)

    async def _show_path(self, number: int) -> None:
        if names := self._finder.names_of(number):
            await self._change(self.shown.with_shown(names))

    async def _merge(self, phrase_id: int) -> None:
        made = await graph_corrections.merge(self._desk, self._collection, await self._read_phrase(phrase_id))
        if made is not None:
            gone = [await self._find_name(name) for name in made.what["names"]]
            into = await self._find_name(made.what["into"])
            before = {one.name: one.id for one in self._graph.names}
            lost = [phrase_id, *(before[name] for name in made.what["names"] if name in before), *filter(None, gone)]
            shown = self.shown if into is None else self.shown.with_merged([one for one in lost if one != into], into)
            await self._go_on(shown)

    async def _split(self, phrase_id: int) -> None:
        made = await graph_corrections.split(self._desk, self._collection, await self._read_phrase(phrase_id))
        if made is not None:
            there = await self._find_name(made.what["name"])
            into = await self._find_name(made.what["into"])
            shown = self.shown if there is not None else self.shown.without(phrase_id)
            await self._go_on(shown.with_shown([into]) if into is not None else shown)

    async def _retract(self, fact_id: int) -> None:
        made = await graph_corrections.retract(self._desk, self._collection, await self._read_fact(fact_id))
        if made is not None:
            await self._go_on(self.shown)

    async def _undo(self, correction_id: int) -> None:
        if await is_sure(UNDO, yes="Undo it", no="Leave it"):
            await self._desk.call(corrections.take_back, collection=self._collection, correction_id=correction_id)
            await self._go_on(self.shown)

    async def _go_on(self, shown: Shown) -> None:
        """Show the page anew, without the names that a correction took away."""
        for phrase_id in {*shown.phrases, *shown.members, *filter(None, (shown.chosen, shown.community))}:
            try:
                await self._read_phrase(phrase_id)
            except NotFound:
                shown = shown.without(phrase_id)
        visit(shown.address(self._collection))

    async def _find_name(self, name: str) -> int | None:
        answer: PhrasesOut = await self._desk.call(
            inspection.list_phrases, collection=self._collection, q=name, match="prefix", limit=50
        )
        return next((one.id for one in answer.phrases if one.key == normalize(name)), None)

    async def _save_picture(self, kind: str, _: int) -> None:
        assert self._chart is not None
        ui.run_javascript(SAVE.replace("ID", str(self._chart.id)).replace("TYPE", json.dumps(kind)))

    async def _save_data(self, name: str, _: int) -> None:
        ui.download.content(FORMATS[name](self._graph), f"graph.{name}")


def _nearest(limit: int) -> int:
    return next((one for one in LIMITS if one >= limit), LIMITS[-1])


def _is(tie: Any, data: Mapping[str, Any]) -> bool:
    return (str(tie.source), str(tie.target), tie.predicate) == (data["source"], data["target"], data["p"])
