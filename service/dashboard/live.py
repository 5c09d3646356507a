"""Parts of pages that keep up by themselves, and say so when they cannot."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from markupsafe import Markup
from nicegui import ui

from memory_graph.errors import SharpwaveError
from memory_graph.store.rows import now
from service.dashboard.desk import SessionOver
from service.dashboard.frame import show, told
from service.dashboard.markup import moment
from service.errors import problem_of_fault

NOT_UP_TO_DATE = Markup('<p class="stale">Not up to date since {}: {}</p>')


async def keep_up(refresh: Callable[[], Awaitable[None]], *, every_s: float, doing: str) -> ui.timer:
    """Draw a part of a page now and every ``every_s`` seconds; return what does so.

    The first time an error is the page's. Later, what is on the page stays and a line above it says since when it is
    old, once for as long as that lasts; when the session is over, it is asked for once.
    """
    line = show(Markup("")).props('role="status"')
    fine = now()
    failing = False
    await refresh()

    async def again() -> None:
        nonlocal fine, failing
        try:
            await refresh()
        except SessionOver:
            timer.deactivate()
            async with told(doing):
                raise
        except Exception as error:  # noqa: BLE001 - a page that keeps up goes on when it can again
            if not failing:
                said = error.message if isinstance(error, SharpwaveError) else problem_of_fault(error, doing)["detail"]
                line.content = NOT_UP_TO_DATE.format(moment(fine), said)
            failing = True
        else:
            fine = now()
            if failing:
                line.content = ""
            failing = False

    timer = ui.timer(every_s, again, immediate=False)
    return timer
