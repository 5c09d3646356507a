"""``make dashboard-times``: how long a page takes until it can be used, and what one does on it, on a large memory.

``python -m tests.integration.dashboard.times [PASSAGES [PART OF A NAME]]``. The memory is made up, with documents,
names and facts. Told is the median of some goes, in a browser that has seen the dashboard before; a page can be used
when its socket is there and its content stands.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

from playwright.sync_api import Page, expect, sync_playwright

from evaluation.adding_bench import make_with_evidence
from tests.integration.dashboard.browsing import find_chromium, go
from tests.integration.installation import Installation, Server

Act: TypeAlias = Callable[[], None]

PASSAGES = 100_000
GOES = 5
DRAWN = re.compile(r"\d names|nearest names")
HAS_NAMES = """() => {
  const element = document.querySelector(".picture");
  const chart = element && window.getElement && getElement(Number(element.id.slice(1)))?.chart;
  return (chart?.getModel()?.getSeriesByIndex(0)?.getData().count() ?? 0) > 1;
}"""


def main(passages: int, only: str = "") -> None:
    """Measure, and print a line a page and a line an action; ``only`` those whose names hold that."""
    with tempfile.TemporaryDirectory(prefix="sharpwave-") as scratch:
        folder = Path(scratch)
        (folder / "logs").mkdir()
        (folder / "data").mkdir()
        subject = make_with_evidence(passages, folder / "data")
        (folder / "data" / "bench.db").rename(folder / "data" / "sharpwave.db")
        installation = Installation(folder / "data", folder / "logs")
        server = Server(installation)
        try:
            _measure(server, subject.collection, only)
        finally:
            server.client.close()
            installation.end()


def _measure(server: Server, collection: str, only: str) -> None:
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
            if only not in name:
                continue
            _tell(name, lambda path=path: _open(page, server, path))  # type: ignore[misc]
        for name, (prepare, action) in _actions(page, server, inside).items():
            if only in name:
                _tell(name, action, prepare)
        browser.close()


def _actions(page: Page, server: Server, inside: str) -> Mapping[str, tuple[Act, Act]]:
    """Return what is done on pages, each with what is done before it and not counted."""
    graph, hub = f"{inside}/graph", _best_connected(server, inside)

    def documents() -> None:
        _open(page, server, f"{inside}/documents")

    def at_hub() -> None:
        _open(page, server, f"{graph}?phrase={hub['id']}&chosen={hub['id']}")
        _drawn(page)
        expect(page.locator(".panel h2")).to_have_text(hub["name"])

    def begin() -> None:
        _open(page, server, graph)
        expect(page.get_by_role("table", name="Largest communities")).to_be_visible()

    def at_path() -> None:
        begin()
        page.get_by_label("From", exact=True).fill(hub["name"])
        page.get_by_label("To", exact=True).fill(_name_of(server, inside, 40))
        page.wait_for_timeout(1000)  # what completes these names is no part of the path

    def at_merge() -> None:
        at_hub()
        page.get_by_role("button", name=f"Merge {hub['name']} with other names").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        page.get_by_role("dialog").get_by_label("Another name").fill(_name_of(server, inside, 40))

    def ticked() -> None:
        documents()
        page.get_by_label("Choose all on this page").check()

    def sort() -> None:
        page.get_by_role("columnheader", name="Title").get_by_role("link").click()
        _ready(page)

    def following() -> None:
        page.get_by_role("link", name="Next page").click()
        _ready(page)

    def narrow() -> None:
        page.get_by_label("Title, id or source").fill("Document 99")
        page.get_by_role("button", name="Search").click()
        page.wait_for_url("**q=Document*")
        _ready(page)

    def forget_many() -> None:
        page.get_by_role("button", name="Forget 50 documents").click()
        expect(page.get_by_role("dialog").get_by_role("table")).to_be_visible(timeout=60_000)

    def forget_each() -> None:
        forget_many()
        expect(page.get_by_role("dialog").get_by_role("table")).not_to_contain_text("…", timeout=60_000)

    def forget_one() -> None:
        page.get_by_role("button", name="Forget").first.click()
        expect(page.get_by_role("dialog")).to_be_visible()

    def find() -> None:
        page.get_by_label("Find a name").fill(hub["name"][:4])
        expect(page.get_by_role("list", name="Names found")).to_be_visible()

    def draw() -> None:
        page.locator('a[href*="phrase="]').first.click()
        page.wait_for_url("**phrase=*")
        _drawn(page)

    def draw_community() -> None:
        page.locator('a[href*="community="]').first.click()
        page.wait_for_url("**community=*")
        _drawn(page)

    def expand() -> None:
        page.get_by_role("table", name="Names in the picture").get_by_role("button", name="Expand").first.click()
        expect(page.get_by_role("button", name="Collapse")).to_have_count(3)  # the panel has one

    def look() -> None:
        page.get_by_role("table", name="Names in the picture").get_by_role("button", name="Look at").nth(3).click()
        expect(page.locator(".panel h2")).not_to_have_text(hub["name"])

    def only_facts() -> None:
        page.get_by_role("checkbox", name="Shared passages").click()
        page.wait_for_url("**kind=*")

    def evidence() -> None:
        page.get_by_role("button", name="Evidence: ").first.click()
        expect(page.get_by_role("dialog").locator("article").first).to_be_visible()

    def path() -> None:
        page.get_by_role("button", name="Find paths").click()
        expect(page.get_by_role("heading", name=" → ").first).to_be_visible()

    def merge() -> None:
        page.get_by_role("dialog").get_by_role("button", name="Preview").click()
        expect(page.get_by_role("dialog").get_by_role("table").first).to_be_visible(timeout=60_000)

    def many() -> None:
        page.goto(f"{server.url}{graph}?phrase={hub['id']}&limit=2000")
        _drawn(page)

    def failed_jobs() -> None:
        page.get_by_label("State").click()
        page.get_by_role("option", name="failed").click()
        page.wait_for_url("**state=failed*")
        _ready(page)

    def unanswered() -> None:
        page.get_by_label("Outcome").select_option(index=1)
        page.get_by_role("button", name="Show").click()
        page.wait_for_url("**outcome=*")
        _ready(page)

    def make_key() -> None:
        page.get_by_role("button", name="New key").click()
        expect(page.get_by_role("dialog")).to_be_visible()

    def read() -> None:  # all that the go before began to read
        expect(page.get_by_role("status").filter(has_text="Reading the others")).to_have_count(0, timeout=60_000)

    return {
        "documents: sort": (documents, sort),
        "documents: next page": (documents, following),
        "documents: narrow": (documents, narrow),
        "documents: preview of forgetting 50": (ticked, forget_many),
        "documents: the same, each alone": (ticked, forget_each),
        "document: preview of forgetting it": (
            lambda: _open(page, server, f"{inside}/documents/document-7"),
            forget_one,
        ),
        "memory graph: find a name": (begin, find),
        "memory graph: draw a name": (begin, draw),
        "memory graph: draw it before the communities": (lambda: _open(page, server, graph), draw),
        "memory graph: draw a community": (begin, draw_community),
        "memory graph: look at a name": (at_hub, look),
        "memory graph: expand a name": (at_hub, expand),
        "memory graph: only facts": (at_hub, only_facts),
        "memory graph: evidence of a fact": (at_hub, evidence),
        "memory graph: path": (at_path, path),
        "memory graph: preview of a merge": (at_merge, merge),
        "memory graph: 100 names of 2,000": (read, many),
        "questions: filter": (lambda: _open(page, server, "/admin/questions"), unanswered),
        "jobs: filter": (lambda: _open(page, server, "/admin/jobs"), failed_jobs),
        "keys: open the form": (lambda: _open(page, server, "/admin/keys"), make_key),
    }


def _best_connected(server: Server, inside: str) -> Any:
    return _names(server, inside)[0]


def _name_of(server: Server, inside: str, rank: int) -> str:
    return str(_names(server, inside)[rank]["name"])


def _names(server: Server, inside: str) -> Any:
    path = inside.replace("/admin/c/", "/v1/collections/")
    return server.client.get(f"{path}/phrases", params={"sort": "degree"}).json()["phrases"]


def _drawn(page: Page) -> None:
    expect(page.get_by_role("status").filter(has_text=DRAWN)).to_be_visible(timeout=60_000)
    page.wait_for_function(HAS_NAMES)


def _open(page: Page, server: Server, path: str) -> None:
    page.goto(server.url + path)
    _ready(page)


def _ready(page: Page) -> None:
    page.wait_for_function("window.socket && window.socket.connected")
    expect(page.locator("h1")).to_be_visible()


def _tell(name: str, act: Act, prepare: Act = lambda: None) -> None:
    spent = []
    for _ in range(GOES):
        prepare()
        start = time.perf_counter()
        act()
        spent.append((time.perf_counter() - start) * 1000)
    sys.stdout.write(f"{name:46} {median(spent):7,.0f} ms, at most {max(spent):,.0f}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else PASSAGES, *sys.argv[2:3])
