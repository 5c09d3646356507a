"""What tests of the dashboard do in a browser."""

from __future__ import annotations

import shutil

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.integration.installation import Server


def find_chromium() -> str | None:
    """Return the Chromium of the system, if it has one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def go(page: Page, server: Server, path: str) -> None:
    """Open a page and wait until its socket is there, and until files may be dropped where that is offered."""
    page.goto(server.url + path)
    page.wait_for_function(
        "window.socket && window.socket.connected && !document.querySelector('.drop:not([data-ready])')"
    )


def serious_findings(page: Page) -> list[tuple[str, str, list[str]]]:
    """Return what axe finds on a page that is serious or worse: its rule, what it asks, and where."""
    return [
        (one["id"], one["help"], [node["html"][:200] for node in one["nodes"]][:3])
        for one in Axe().run(page).response["violations"]
        if one["impact"] in ("serious", "critical")
    ]
