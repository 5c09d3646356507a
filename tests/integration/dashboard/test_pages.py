"""The dashboard in a real browser, over a real service with the samples."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.integration.dashboard.browsing import go, serious_findings
from tests.integration.installation import Installation, Server, wait_for

KEY = "the-first-key-of-this-test"
PAGES = {
    "overview": "/admin/",
    "documents": "/admin/c/default/documents",
    "document": "/admin/c/default/documents/drummoyle-cake",
    "memory graph": "/admin/c/default/graph",
    "ask": "/admin/c/default/ask",
    "compare": "/admin/c/default/compare",
    "notes": "/admin/c/default/notes",
    "questions": "/admin/questions",
    "jobs": "/admin/jobs",
    "keys": "/admin/keys",
    "settings": "/admin/settings",
}
MISCHIEF = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> **bold** [x](javascript:1)"
)


@pytest.mark.parametrize("name", PAGES)
def test_every_page_opens_in_light_and_dark_without_a_serious_finding(
    name: str, browser: Browser, server: Server
) -> None:
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        page = context.new_page()
        go(page, server, PAGES[name])
        expect(page.locator("h1")).to_have_count(1)
        expect(page.locator("h1")).not_to_have_text(re.compile("Not found|did not work"))
        serious = serious_findings(page)
        context.close()
        assert not serious, f"{name} in {scheme}: {serious}"


def test_a_narrow_window_scrolls_nothing_sideways_but_tables(browser: Browser, server: Server) -> None:
    context = browser.new_context(viewport={"width": 400, "height": 800})
    page = context.new_page()
    for path in PAGES.values():
        go(page, server, path)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
    context.close()


def test_the_overview_counts_what_was_learned(page: Page, server: Server) -> None:
    go(page, server, "/admin/")
    row = page.get_by_role("region", name="Collections").get_by_role("row").nth(1)
    expect(row.get_by_role("cell")).to_contain_text(["default", "42", "49"])
    row.get_by_role("link", name="default").click()
    expect(page).to_have_url(f"{server.url}/admin/c/default/documents")


def test_a_file_is_uploaded_shown_and_forgotten(page: Page, server: Server, tmp_path: Path) -> None:
    path = tmp_path / "note of mischief.txt"
    path.write_text(f"Vesper Quill keeps the ledger. {MISCHIEF}")
    go(page, server, "/admin/c/default/documents")
    page.locator("input[type=file]").set_input_files(path)
    expect(page.get_by_role("status").filter(has_text="succeeded")).to_be_visible(timeout=180_000)
    go(page, server, "/admin/c/default/documents/note%20of%20mischief.txt")
    expect(page.locator(".passage .text")).to_contain_text(MISCHIEF)  # as it was written
    assert page.title() != "owned"
    page.get_by_role("button", name="Forget").click()
    sure = page.get_by_role("button", name="Forget it")
    expect(sure).to_be_disabled()
    page.get_by_label("Type the id of the document to confirm").fill("note of mischief.txt")
    sure.click()
    expect(page).to_have_url(f"{server.url}/admin/c/default/documents")
    assert server.client.get("/v1/collections/default/documents/note%20of%20mischief.txt").status_code == 404


@pytest.mark.alone
def test_a_question_is_answered_with_its_passages_and_says_why(page: Page, server: Server) -> None:
    go(page, server, "/admin/c/default/ask")
    page.get_by_label("Question").fill("Who carved the figurehead of the ship that Maren Tolloway commanded?")
    page.keyboard.press("Enter")
    expect(page.locator(".answer")).to_contain_text("Sedgewray", timeout=120_000)
    expect(page.locator(".passage.cited").first).to_be_visible()
    assert "q=Who+carved" in page.url  # the page can be sent to somebody
    page.get_by_role("link", name="Why this answer").click()
    expect(page.get_by_role("heading", name="Chains that led from passage to passage")).to_be_visible()
    expect(page.get_by_role("region", name="How the passages ranked").get_by_role("row")).to_have_count(6)


def test_what_was_filled_in_wrongly_is_named(page: Page, server: Server) -> None:
    go(page, server, "/admin/c/default/ask")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator(".q-notification")).to_contain_text("question: ")
    expect(page.locator(".answer")).to_have_text("")


def test_a_job_is_shown_with_what_failed(page: Page, server: Server, tmp_path: Path) -> None:
    path = tmp_path / "broken.pdf"
    path.write_bytes(b"%PDF-1.7 and no more")
    go(page, server, "/admin/c/default/documents")
    page.locator("input[type=file]").set_input_files(path)
    status = page.get_by_role("status").filter(has_text="1 failed")
    expect(status).to_be_visible(timeout=180_000)
    status.get_by_role("link", name="Job").click()
    expect(page.get_by_role("region", name="Failed items").get_by_role("row").nth(1)).to_contain_text("broken.pdf")


def test_what_is_not_there_is_said(page: Page, server: Server) -> None:
    for path in ("/admin/c/nowhere/documents", "/admin/c/default/documents/nothing", "/admin/jobs/nothing"):
        go(page, server, path)
        expect(page.get_by_role("heading", name="Not found")).to_be_visible()
        expect(page.get_by_role("link", name="To the overview")).to_be_visible()


def test_a_restart_of_the_service_is_survived_by_an_open_page(page: Page, server: Server) -> None:
    go(page, server, "/admin/")
    page.evaluate("window.before = true")
    before = server.child("serve")
    os.kill(before, 9)
    wait_for(lambda: server.child("serve") != before, within_s=60, what="another process of the API")
    server.wait_ready()
    # The page comes back by itself, as a new one, since the service that knew it is gone.
    page.wait_for_function("window.before === undefined && window.socket && window.socket.connected", timeout=60_000)
    expect(page.get_by_role("region", name="Collections")).to_contain_text("default")


def test_pages_ask_for_a_key_where_there_is_one(
    page: Page, context: BrowserContext, make_installation: Callable[..., Installation]
) -> None:
    installation = make_installation()
    locked = Server(installation, SHARPWAVE_ADMIN_KEY=KEY)
    try:
        page.goto(f"{locked.url}/admin/jobs?state=failed")
        expect(page).to_have_url(f"{locked.url}/admin/sign-in?next=%2Fadmin%2Fjobs%3Fstate%3Dfailed")
        assert not Axe().run(page).response["violations"]
        page.get_by_label("Admin key").fill("another key")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_have_text("This is no key of this installation.")
        page.get_by_label("Admin key").fill(KEY)
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{locked.url}/admin/jobs?state=failed")
        (cookie,) = context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
        assert KEY not in cookie["value"]

        page.wait_for_function("window.socket && window.socket.connected")
        page.get_by_role("button", name="Sign out").click()
        page.goto(f"{locked.url}/admin/")
        expect(page).to_have_url(re.compile("/admin/sign-in"))
    finally:
        locked.client.close()
        installation.end()
