"""``make dashboard-times``: how long a page takes until it can be used, and what one does on it, on a large memory.

``python -m tests.integration.dashboard.times [PASSAGES]``. The memory is made up, with documents, names and facts. Told
is the median of some goes, in a browser that has seen the dashboard before; a page can be used when its socket is there
and its content stands.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, expect, sync_playwright

from evaluation.adding_bench import make_with_evidence
from tests.integration.dashboard.browsing import find_chromium, go
from tests.integration.installation import Installation, Server

PASSAGES = 100_000
GOES = 5


def main(passages: int) -> None:
    """Measure, and print a line a page and a line an action."""
    with tempfile.TemporaryDirectory(prefix="sharpwave-") as scratch:
        folder = Path(scratch)
        (folder / "logs").mkdir()
        (folder / "data").mkdir()
        subject = make_with_evidence(passages, folder / "data")
        (folder / "data" / "bench.db").rename(folder / "data" / "sharpwave.db")
        installation = Installation(folder / "data", folder / "logs")
        server = Server(installation)
        try:
            _measure(server, subject.collection)
        finally:
            server.client.close()
            installation.end()


def _measure(server: Server, collection: str) -> None:
    inside = f"/admin/c/{collection}"
    pages = {
        "overview": "/admin/",
        "documents": f"{inside}/documents",
        "document": f"{inside}/documents/document-7",
        "passage": f"{inside}/passages/77",
        "memory graph": f"{inside}/graph",
        "ask": f"{inside}/ask",
        "notes": f"{inside}/notes",
        "questions": "/admin/questions",
        "jobs": "/admin/jobs",
        "keys": "/admin/keys",
        "settings": "/admin/settings",
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox"] if os.getuid() == 0 else []
        )
        page = browser.new_page()
        go(page, server, "/admin/")  # scripts and styles are kept from now on
        for name, path in pages.items():
            _tell(name, lambda path=path: _open(page, server, path))  # type: ignore[misc]
        go(page, server, f"{inside}/documents")
        for name, action in _actions(page, server, inside).items():
            _tell(name, action)
        browser.close()


def _actions(page: Page, server: Server, inside: str) -> Mapping[str, Callable[[], None]]:
    def sort() -> None:
        page.get_by_role("columnheader", name="Title").get_by_role("link").click()
        _ready(page)

    def narrow() -> None:
        page.get_by_label("Title, id or source").fill("Document 99")
        page.get_by_role("button", name="Search").click()
        page.wait_for_url("**q=Document*")
        _ready(page)

    def following() -> None:
        page.get_by_role("link", name="Next page").click()
        _ready(page)

    def walk() -> None:
        _open(page, server, f"{inside}/graph")
        page.locator('a[href*="phrase="]').first.click()
        expect(page.locator("canvas").first).to_be_visible()

    return {
        "documents: sort": sort,
        "documents: next page": following,
        "documents: narrow": narrow,
        "memory graph: of a name": walk,
    }


def _open(page: Page, server: Server, path: str) -> None:
    page.goto(server.url + path)
    _ready(page)


def _ready(page: Page) -> None:
    page.wait_for_function("window.socket && window.socket.connected")
    expect(page.locator("h1")).to_be_visible()


def _tell(name: str, act: Callable[[], None]) -> None:
    spent = []
    for _ in range(GOES):
        start = time.perf_counter()
        act()
        spent.append((time.perf_counter() - start) * 1000)
    sys.stdout.write(f"{name:24} {median(spent):7,.0f} ms, at most {max(spent):,.0f}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else PASSAGES)
