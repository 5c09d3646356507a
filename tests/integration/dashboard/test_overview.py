"""The overview in a real browser: what it counts, what it draws of the last hour, and that it keeps up."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, expect

from tests.integration.dashboard.browsing import go, serious_findings
from tests.integration.installation import Server


def numbers_of(page: Page, chart: str) -> list[list[str]]:
    """Open the table below a chart and return its rows."""
    group = page.get_by_role("group", name=chart, exact=True)
    if not group.locator("details").evaluate("one => one.open"):
        group.locator("summary").click()
    rows = group.get_by_role("region").get_by_role("row")
    expect(rows.nth(1)).to_be_visible()
    return [row.get_by_role("cell").all_inner_texts() for row in rows.all()[1:]]


def test_the_overview_shows_searches_as_they_are_made(page: Page, server: Server) -> None:
    server.search("Who commanded the ship?")
    go(page, server, "/admin/")
    row = page.get_by_role("region", name="Collections").get_by_role("row").nth(1)
    expect(row.get_by_role("cell")).to_contain_text(["default", "42", "49"])
    expect(row).to_contain_text("up to date")
    before = sum(int(cells[1]) for cells in numbers_of(page, "Searches and answers"))
    assert before >= 1
    page.evaluate("window.before = true")
    for _ in range(3):
        server.search("Who carved the figurehead?")
    searched = page.locator(".facts > div").filter(has_text="Searches, last hour").locator("dd")
    expect(searched).to_have_text(str(before + 3))  # without the page being loaded again
    assert page.evaluate("window.before")
    assert sum(int(cells[1]) for cells in numbers_of(page, "Searches and answers")) == before + 3

    stages = {cells[0]: cells[1:] for cells in numbers_of(page, "Time by stage")}
    assert {"embed", "dense", "walk", "chain", "search, whole"} <= stages.keys()
    assert all(re.fullmatch(r"[\d,.]+ m?s", cell) for cells in stages.values() for cell in cells)
    grown = [[int(cell.replace(",", "")) for cell in cells[1:]] for cells in numbers_of(page, "Growth")]
    assert sum(passages for passages, _ in grown) >= 49
    assert sum(documents for _, documents in grown) >= 42
    for name in ("Growth", "Searches and answers", "Time of searches", "Time by stage"):
        drawn = page.get_by_role("group", name=name, exact=True).locator("svg")
        assert drawn.locator("path").count() > 2, name


def test_what_was_opened_stays_open_while_the_page_keeps_up(page: Page, server: Server) -> None:
    go(page, server, "/admin/")
    server.search("Who is Maren Tolloway?")
    rows = numbers_of(page, "Searches and answers")
    server.search("Who is Maren Tolloway?")
    expect(page.get_by_role("region", name="Searches and answers: the numbers")).to_be_visible()
    total = sum(int(cells[1]) for cells in rows)
    searched = page.locator(".facts > div").filter(has_text="Searches, last hour").locator("dd")
    expect(searched).not_to_have_text(str(total))
    assert (
        page.get_by_role("group", name="Searches and answers", exact=True)
        .locator("details")
        .evaluate("one => one.open")
    )


def test_memory_disk_and_parts_are_told_with_units(page: Page, server: Server) -> None:
    go(page, server, "/admin/")
    memory = page.get_by_role("region", name="Memory").get_by_role("row")
    expect(memory.filter(has_text="api")).to_contain_text(re.compile(r"\d\.\d (MB|GB)"))
    expect(memory.filter(has_text="worker")).to_contain_text(re.compile(r"\d\.\d (MB|GB)"))
    expect(page.get_by_role("region", name="Disk").get_by_role("row").filter(has_text="database")).to_contain_text("B")
    # The generator is loaded behind the first requests.
    parts = page.get_by_role("region", name="Parts of the service")
    expect(parts).to_contain_text("qwen", timeout=60_000)


def test_the_charts_are_legible_in_light_and_dark(browser: Browser, server: Server) -> None:
    server.search("Who carved the figurehead?")
    inks = {}
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)  # type: ignore[arg-type]
        page = context.new_page()
        go(page, server, "/admin/")
        numbers_of(page, "Time by stage")
        assert not serious_findings(page)
        label = page.get_by_role("group", name="Time by stage", exact=True).locator("svg text").first
        inks[scheme] = label.evaluate("one => getComputedStyle(one).fill")
        context.close()
    assert inks["light"] != inks["dark"]


def test_growth_of_one_collection_stands_in_the_address(page: Page, server: Server) -> None:
    made = server.client.post("/v1/collections", json={"name": "growing"})
    assert made.status_code == 201
    try:
        go(page, server, "/admin/?growth=growing")
        expect(page.get_by_role("group", name="Growth", exact=True)).to_contain_text("Nothing was learned yet.")
        page.get_by_label("Growth of").click()
        page.get_by_role("option", name="default").click()
        expect(page).to_have_url(f"{server.url}/admin/?growth=default")
        assert numbers_of(page, "Growth")
        go(page, server, "/admin/?growth=nowhere")
        expect(page.get_by_role("heading", name="Not found")).to_be_visible()
    finally:
        server.client.delete("/v1/collections/growing")
