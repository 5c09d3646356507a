"""``make pictures``: every page of the dashboard, light, dark and narrow, over the samples, as files to be looked at.

``python -m tests.integration.dashboard.pictures FOLDER``
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.integration.dashboard.browsing import find_chromium, go
from tests.integration.installation import REPOSITORY, Installation, Server

ANSWERED = "Who carved the figurehead of the ship that Maren Tolloway commanded?"
UNANSWERED = "What is the airspeed of an unladen swallow?"
WAYS: Mapping[str, Mapping[str, object]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 800}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 800}},
    "narrow": {"color_scheme": "light", "viewport": {"width": 400, "height": 800}},
}
ANSWER_MS = 180_000


def main(folder: Path) -> None:
    """Take the pictures, and say where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    with _memory() as (server, key, pages), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox"] if os.getuid() == 0 else []
        )
        for way in WAYS:
            for name in _take_all(browser, server, key, pages, way, folder):
                sys.stdout.write(f"{folder / name}\n")
        browser.close()


def _take_all(
    browser: Browser, server: Server, key: str, pages: Mapping[str, str], way: str, folder: Path
) -> Iterator[str]:
    context = browser.new_context(**WAYS[way])  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{server.url}/admin/")
    yield _take(page, folder, f"sign-in-{way}.png")
    page.get_by_label("Admin key").fill(key)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{server.url}/admin/")
    for name, path in pages.items():
        go(page, server, path)
        if name == "asked":
            page.locator(".passage.cited").first.wait_for(timeout=ANSWER_MS)
        if name == "compared":
            page.locator(".answer").nth(1).wait_for(timeout=ANSWER_MS)
            page.get_by_role("button", name="Compare").wait_for(timeout=ANSWER_MS)  # both are told
        yield _take(page, folder, f"{name}-{way}.png")
    context.close()


def _take(page: Page, folder: Path, name: str) -> str:
    page.wait_for_timeout(1500)  # for charts to be drawn; a picture proves nothing
    page.screenshot(path=folder / name, full_page=True)
    return name


@contextmanager
def _memory() -> Iterator[tuple[Server, str, Mapping[str, str]]]:
    """Learn the samples, ask of them, and give the service, a key, and the pages that there are to see."""
    with tempfile.TemporaryDirectory(prefix="sharpwave-") as scratch:
        folder = Path(scratch)
        (folder / "logs").mkdir()
        (folder / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
        installation = Installation(folder / "data", folder / "logs")
        installation.run("ingest", REPOSITORY / "samples" / "documents", timeout_s=600)
        installation.run("ingest", folder / "broken.pdf", status=1, timeout_s=600)
        made = ("keys", "create", "--json", "--scope")
        installation.run(*made, "read", "--name", "the assistant of a shop", "--requests-per-minute", 60)
        key = json.loads(installation.run(*made, "admin", "--name", "operator").out)["key"]
        server = Server(installation)
        try:
            server.client.headers["authorization"] = f"Bearer {key}"
            yield server, key, _find_pages(server)
        finally:
            server.client.close()
            installation.end()


def _find_pages(server: Server) -> Mapping[str, str]:
    def get(path: str) -> dict[str, object]:
        answer = server.client.get(f"/v1/{path}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    for _ in range(20):
        server.search("the keeper of the lighthouse")
    ids = []
    for question, strategy in ((ANSWERED, "notes"), (UNANSWERED, "direct")):
        body = {"question": question, "strategy": strategy}
        answer = server.client.post("/v1/collections/default/query", json=body, timeout=300)
        assert answer.status_code == 200, answer.text
        ids.append((answer.json()["query_id"], answer.json()["hits"][0]))
    (asked, hit), (missed, _) = ids
    rating = {"rating": -1, "comment": "It is in the letters.", "correct_answer": "24 miles an hour"}
    assert server.client.post(f"/v1/queries/{missed}/feedback", json=rating).status_code in (200, 204)
    jobs = [str(job["id"]) for job in get("jobs")["jobs"]]  # type: ignore[union-attr, call-overload, index]
    (name,) = get("collections/default/phrases?q=maren+tolloway&limit=1")["phrases"]  # type: ignore[misc]
    inside = "/admin/c/default"
    return {
        "overview": "/admin/",
        "documents": f"{inside}/documents",
        "document": f"{inside}/documents/{hit['document_id']}",
        "passage": f"{inside}/passages/{hit['passage_id']}",
        "graph": f"{inside}/graph",
        "graph-of-a-name": f"{inside}/graph?phrase={name['id']}",
        "ask": f"{inside}/ask",
        "asked": f"{inside}/ask?q={ANSWERED.replace(' ', '+')}",
        "compared": f"{inside}/compare?q={ANSWERED.replace(' ', '+')}",
        "notes": f"{inside}/notes",
        "questions": "/admin/questions",
        "question": f"/admin/questions/{asked}",
        "jobs": "/admin/jobs",
        "job": f"/admin/jobs/{jobs[-1]}",
        "job-that-failed": f"/admin/jobs/{jobs[0]}",
        "keys": "/admin/keys",
        "settings": "/admin/settings",
        "not-found": f"{inside}/documents/nothing",
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
