"""Settings and keys in a real browser: models and versions, the examination, keys made, renewed and revoked."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
from playwright.sync_api import Browser, Page, expect

from retrieval import models
from tests.integration.dashboard.browsing import go, serious_findings
from tests.integration.installation import Installation, Server

KEY = "the-first-key-of-these-pages"


def test_models_versions_and_the_examination_are_shown(page: Page, server: Server) -> None:
    go(page, server, "/admin/settings")
    embedder = models.default_for("embedder")
    model = page.locator("details.model").filter(has_text=embedder.name).first
    expect(model.locator("summary")).to_contain_text("here")
    expect(model.locator("summary")).to_contain_text("in use")
    model.locator("summary").click()
    files = model.get_by_role("region", name=f"Files of {embedder.name}")
    expect(files).to_contain_text(embedder.files[0].sha256)
    expect(model).to_contain_text("Every byte was found right on")
    expect(page.locator("details.model")).to_have_count(len(models.registry()))
    page.locator("summary").filter(has_text="Libraries").click()
    expect(page.get_by_role("region", name="Libraries")).to_contain_text("sqlalchemy")

    page.get_by_role("button", name="Examine the installation").click()
    found = page.get_by_role("region", name="Examination")
    expect(found.get_by_role("row")).to_have_count(9, timeout=120_000)
    for name in ("data folder", "models", "generator", "worker", "purges"):
        expect(found.get_by_role("row").filter(has=page.get_by_text(name, exact=True))).to_contain_text("ok")
    expect(found.get_by_role("row").filter(has=page.get_by_text("models", exact=True))).to_contain_text("every byte")
    expect(page.get_by_role("status")).to_contain_text("All is well.")


def test_opened_models_have_no_serious_finding(browser: Browser, server: Server) -> None:
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme, viewport={"width": 400, "height": 800})  # type: ignore[arg-type]
        page = context.new_page()
        go(page, server, "/admin/settings")
        for summary in page.locator("main summary, .content summary").all():
            summary.click()
        assert not serious_findings(page)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        context.close()


def test_a_key_is_made_renewed_and_revoked(page: Page, make_installation: Callable[..., Installation]) -> None:
    locked = Server(make_installation(), SHARPWAVE_ADMIN_KEY=KEY)
    try:
        page.goto(f"{locked.url}/admin/keys")
        page.get_by_label("Admin key").fill(KEY)
        page.keyboard.press("Enter")
        page.wait_for_function("window.socket && window.socket.connected")
        page.get_by_role("button", name="New key").click()
        page.get_by_label("Name, as of the program").fill("crawler <b>")
        page.get_by_label("Requests a minute").fill("600")
        page.get_by_label("Tokens a day").fill("5000")
        page.get_by_label("Megabytes to learn a day").fill("50")
        page.get_by_label("Last day that it holds").fill("2099-01-31")
        page.get_by_role("button", name="Make the key").click()
        first = page.locator("#new-key").inner_text()
        page.get_by_role("button", name="I have it").click()
        row = page.get_by_role("region", name="Keys").get_by_role("row").filter(has_text="crawler <b>")
        for told in ("read", "all", "2099-02-01 00:00:00", "600 a minute", "of 5,000", "of 50,000,000", "never"):
            expect(row).to_contain_text(told)

        def asks(key: str) -> int:
            headers = {"Authorization": f"Bearer {key}"}
            return httpx.get(f"{locked.url}/v1/collections", headers=headers, trust_env=False).status_code

        assert asks(first) == 200
        page.get_by_role("button", name="Renew crawler <b>").click()
        page.get_by_label("The secret before ends").click()
        page.get_by_role("option", name="after an hour").click()
        page.get_by_role("button", name="Renew it").click()
        second = page.locator("#new-key").inner_text()
        page.get_by_role("button", name="I have it").click()
        expect(row).to_contain_text("the secret before, until")
        assert (second != first, asks(first), asks(second)) == (True, 200, 200)
        assert not serious_findings(page)
        page.get_by_role("button", name="Revoke crawler <b>").click()
        page.get_by_role("button", name="Revoke it").click()
        expect(row).to_contain_text("revoked")
        expect(row.get_by_role("button")).to_have_count(0)
        expect(row).not_to_contain_text(re.compile("holds until"))
        assert (asks(first), asks(second)) == (401, 401)
    finally:
        locked.client.close()
        locked.installation.end()
