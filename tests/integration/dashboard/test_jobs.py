"""Jobs in a real browser: live while a worker learns, filtered and paged, failed items retried, what was learned."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.integration.dashboard.browsing import go, serious_findings
from tests.integration.installation import Server

PLACE = "job-pages"


@pytest.fixture(scope="module")
def place(server: Server) -> Iterator[str]:
    """A collection for jobs of these tests."""
    assert server.client.post("/v1/collections", json={"name": PLACE}).status_code == 201
    yield PLACE
    assert server.client.delete(f"/v1/collections/{PLACE}").status_code == 204


def submit(server: Server, count: int, word: str) -> str:
    documents = [
        {"id": f"{word}-{number}", "text": f"Ada Quill wrote letter {number} of {word} to Bram Oster in Tessaly."}
        for number in range(count)
    ]
    sent = server.client.post(f"/v1/collections/{PLACE}/documents", json={"documents": documents})
    assert sent.status_code == 202, sent.text
    return str(sent.json()["job_id"])


def fact(page: Page, name: str) -> Any:
    return page.locator(".facts > div").filter(has=page.get_by_text(name, exact=True)).locator("dd")


def test_a_job_is_followed_while_a_worker_learns(page: Page, server: Server, place: str) -> None:
    job_id = submit(server, 60, "ledger")
    go(page, server, f"/admin/jobs/{job_id}")
    page.evaluate("window.before = true")
    expect(fact(page, "State")).to_have_text(re.compile("queued|running"))
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    expect(fact(page, "State")).to_have_text("succeeded", timeout=200_000)
    assert page.evaluate("window.before")  # the page was not loaded again
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    progress = page.get_by_role("region", name="Progress", exact=True).get_by_role("row")
    expect(progress.filter(has_text="Documents and files")).to_contain_text("60 of 60")
    stages = page.get_by_role("region", name="Time by stage")
    for name in ("read", "embed", "extract", "commit"):
        expect(stages.get_by_role("row").filter(has_text=re.compile(rf"^{name}\b"))).to_contain_text(" s")
    group = page.get_by_role("group", name="Throughput", exact=True)
    group.locator("summary").click()
    rows = group.get_by_role("region").get_by_role("row")
    expect(rows.nth(1)).to_contain_text("passages/s")
    assert group.locator("svg path").count() > 2

    learned = page.get_by_role("region", name="Documents of this job")
    expect(learned.get_by_role("row")).to_have_count(51)
    page.get_by_role("link", name="Next page of the documents").click()
    expect(page).to_have_url(re.compile(r"\?learned="))
    learned.get_by_role("link").first.click()
    expect(page).to_have_url(re.compile(rf"/admin/c/{PLACE}/documents/ledger-50$"))


def test_failed_items_are_retried_one_and_all(page: Page, server: Server, place: str, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.txt" for name in ("first", "second", "third")]
    for path in paths:
        path.write_text("")
    (tmp_path / "good.txt").write_text("Cleo Dray keeps the lighthouse.")
    ran = server.installation.run("ingest", tmp_path, "--collection", PLACE, "--json", status=None)
    job_id = ran.json["id"] if "id" in ran.json else ran.json["job_id"]
    go(page, server, f"/admin/jobs/{job_id}")
    failed = page.get_by_role("region", name="Failed items")
    expect(failed.get_by_role("row")).to_have_count(4)
    expect(failed.get_by_role("row").filter(has_text="first.txt")).to_contain_text("empty")
    paths[0].write_text("Dov Brandt mends the nets.")
    page.get_by_role("button", name=re.compile("Retry .*first.txt")).click()
    expect(failed.get_by_role("row")).to_have_count(3, timeout=120_000)
    expect(fact(page, "State")).to_have_text("succeeded", timeout=120_000)
    expect(fact(page, "Documents")).to_have_text("2")
    for path in paths[1:]:
        path.write_text(f"Maren Quill reads {path.name}.")
    page.get_by_role("button", name="Retry what failed").click()
    expect(page.get_by_text("Nothing failed.")).to_be_visible(timeout=120_000)
    expect(fact(page, "Documents")).to_have_text("4")


def test_a_job_is_cancelled_after_a_question(page: Page, server: Server, place: str) -> None:
    job_id = submit(server, 200, "cancelled")
    go(page, server, f"/admin/jobs/{job_id}")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the job").click()
    expect(fact(page, "State")).to_have_text("cancelled")


def test_the_list_is_filtered_and_paged_in_the_address(page: Page, server: Server, place: str) -> None:
    ids = [submit(server, 1, f"small{number}") for number in range(3)]
    go(page, server, f"/admin/jobs?collection={PLACE}")
    jobs = page.get_by_role("region", name="Jobs")
    expect(jobs.get_by_role("link", name=f"Job {ids[0][:8]}")).to_be_visible()
    # The samples' job is of another collection.
    expect(jobs.get_by_role("row").filter(has_text="default")).to_have_count(0)
    page.get_by_label("State").click()
    page.get_by_role("option", name="failed").click()
    expect(page).to_have_url(re.compile(rf"/admin/jobs\?state=failed&collection={PLACE}$"))
    expect(page.get_by_text("No job is like that.")).to_be_visible()
    go(page, server, "/admin/jobs?state=strange")
    expect(page.get_by_text("must be one of queued, running")).to_be_visible()


def test_the_focus_stays_on_its_row_while_the_page_keeps_up(page: Page, server: Server, place: str) -> None:
    held = submit(server, 1, "held")
    go(page, server, f"/admin/jobs?collection={PLACE}")
    jobs = page.get_by_role("region", name="Jobs")
    link = jobs.get_by_role("link", name=f"Job {held[:8]}")
    link.focus()
    newer = submit(server, 1, "newer")
    expect(jobs.get_by_role("row").nth(1)).to_contain_text(newer[:8])
    expect(link).to_be_focused()
    expect(jobs.get_by_role("row").filter(has_text=held[:8])).to_contain_text("succeeded", timeout=120_000)
    expect(link).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(held))


def test_a_job_s_page_has_no_serious_finding(browser: Browser, server: Server, place: str, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "good.txt").write_text("Cleo Dray keeps the lighthouse.")
    ran = server.installation.run("ingest", tmp_path, "--collection", PLACE, "--json", status=None)
    job_id = ran.json["id"] if "id" in ran.json else ran.json["job_id"]
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme, viewport={"width": 400, "height": 800})  # type: ignore[arg-type]
        page = context.new_page()
        go(page, server, f"/admin/jobs/{job_id}")
        expect(page.get_by_role("button", name=re.compile("Retry .*empty.txt"))).to_be_visible()
        assert not serious_findings(page)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        context.close()
