"""A service with several processes: whichever a request or a socket of the dashboard comes to, and what they share."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.integration.dashboard.test_sessions import sign_in
from tests.integration.installation import Installation, Ran, Server

PROCESSES = 2
KEY = "the-first-key-of-this-test"
LIMIT = 30  # requests a minute


@pytest.fixture(scope="module")
def several(learned: tuple[Installation, Ran], make_installation: Callable[..., Installation]) -> Iterator[Server]:
    """A service of several processes over a copy of the samples."""
    installation = make_installation()
    shutil.copytree(learned[0].data_dir, installation.data_dir)
    server = Server(installation, SHARPWAVE_API_WORKERS=str(PROCESSES), SHARPWAVE_ADMIN_KEY=KEY)
    server.client.headers["Authorization"] = f"Bearer {KEY}"
    yield server
    server.client.close()
    installation.end()


def test_pages_work_whichever_process_their_requests_come_to(browser: Browser, several: Server, tmp_path: Path) -> None:
    for _ in range(2 * PROCESSES):  # each on connections of its own
        context = browser.new_context()
        page = context.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error, wrong=wrong: wrong.append(str(error)))
        sign_in(page, several, KEY, "/admin/c/default/ask")
        page.get_by_role("button", name="Ask", exact=True).click()  # over the socket, which says what is missing
        expect(page.locator(".q-notification")).to_contain_text("question: ")
        context.close()
        assert not wrong
    page = browser.new_page()
    sign_in(page, several, KEY, "/admin/c/default/documents")
    path = tmp_path / "note.txt"
    path.write_text("Vesper Quill keeps the ledger of the harbour at Aldmouth.")
    page.locator("input[type=file]").set_input_files(path)
    expect(page.get_by_role("status").filter(has_text="succeeded")).to_be_visible(timeout=180_000)
    page.close()


def test_a_key_has_its_requests_once_and_not_in_each_process(several: Server) -> None:
    body = {"name": "slow", "scopes": ["read"], "requests_per_minute": LIMIT}
    key = several.client.post("/v1/keys", json=body).json()["key"]

    def ask() -> int:
        answer = httpx.get(
            f"{several.url}/v1/collections", headers={"Authorization": f"Bearer {key}"}, timeout=60, trust_env=False
        )
        return answer.status_code

    start = time.monotonic()
    answers = Counter(ask() for _ in range(3 * LIMIT))  # each on a connection of its own
    filled = (time.monotonic() - start) * LIMIT / 60
    assert set(answers) == {200, 429}
    assert LIMIT <= answers[200] <= LIMIT + filled + 1
