"""The paths between two names, on the page of the graph."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup
from nicegui import ui

from service.api import inspection
from service.dashboard.desk import Desk
from service.dashboard.frame import section, show, told
from service.dashboard.graph_finder import name_field
from service.dashboard.graph_tables import paths_found
from service.inspection_schemas import PathOut


class PathFinder:
    """The fields for two names, and what was found between them; ``note`` is told which names were asked for."""

    def __init__(self, desk: Desk, collection: str, source: str, target: str, note: Callable[[str, str], None]) -> None:
        self._desk = desk
        self._collection = collection
        self._note = note
        self._paths: PathOut | None = None
        section("Path between two names")
        with ui.row().classes("ask"):
            self._source = name_field(desk, collection, "From", source).classes("wide")
            self._target = name_field(desk, collection, "To", target).classes("wide")
            ui.button("Find paths", icon="route", on_click=self._find)
        self._found = show(Markup(""))
        if source and target:
            ui.timer(0.1, self._find, once=True)

    def begin_at(self, name: str) -> None:
        """Let a path begin at a name; where it ends is asked for."""
        self._source.value = name
        self._target.run_method("focus")

    def names_of(self, number: int) -> list[int]:
        """Return the ids of the names of a path that was found; none if it was not."""
        if self._paths is None or number >= len(self._paths.paths):
            return []
        path = self._paths.paths[number]
        return [path[0].source_id, *(step.target_id for step in path)]

    async def _find(self) -> None:
        async with told("looking for a path"):
            source, target = (self._source.value or "").strip(), (self._target.value or "").strip()
            self._found.content = ""
            self._paths = await self._desk.call(
                inspection.show_path, collection=self._collection, source=source, target=target
            )
            self._found.content = str(paths_found(self._collection, self._paths))
            self._note(source, target)
