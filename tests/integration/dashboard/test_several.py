"""The dashboard of a service with several processes: whichever a request or a socket comes to."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.integration.dashboard.browsing import go
from tests.integration.installation import Installation, Ran, Server

pytestmark = pytest.mark.alone
PROCESSES = 2


@pytest.fixture
def several(learned: tuple[Installation, Ran], make_installation: Callable[..., Installation]) -> Iterator[Server]:
    """A service of several processes over a copy of the samples."""
    installation = make_installation()
    shutil.copytree(learned[0].data_dir, installation.data_dir)
    server = Server(installation, SHARPWAVE_API_WORKERS=str(PROCESSES))
    yield server
    server.client.close()
    installation.end()


def test_pages_work_whichever_process_their_requests_come_to(browser: Browser, several: Server, tmp_path: Path) -> None:
    for _ in range(2 * PROCESSES):  # each on connections of its own
        context = browser.new_context()
        page = context.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error, wrong=wrong: wrong.append(str(error)))
        go(page, several, "/admin/c/default/ask")
        page.get_by_role("button", name="Ask", exact=True).click()  # over the socket, which says what is missing
        expect(page.locator(".q-notification")).to_contain_text("question: ")
        context.close()
        assert not wrong
    page = browser.new_page()
    path = tmp_path / "note.txt"
    path.write_text("Vesper Quill keeps the ledger of the harbour at Aldmouth.")
    go(page, several, "/admin/c/default/documents")
    page.locator("input[type=file]").set_input_files(path)
    expect(page.get_by_role("status").filter(has_text="succeeded")).to_be_visible(timeout=180_000)
    page.close()
