"""Asking, comparing and the log of questions in a browser, with the embedded generator over the samples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.integration.dashboard.browsing import go, serious_findings
from tests.integration.installation import Server

pytestmark = pytest.mark.alone

CARVED = "Who carved the figurehead of the ship that Maren Tolloway commanded?"
UNKNOWN = "Which passages are about zeppelins?"
ANSWERED_MS = 150_000  # two cores that do other things as well


@pytest.fixture(scope="module")
def asked(server: Server) -> dict[str, Any]:
    """A question that was answered over HTTP, and one that nothing could be found for."""
    path = "/v1/collections/default/query"
    answered = server.client.post(path, json={"question": CARVED, "top_k": 2}, timeout=ANSWERED_MS / 1000).json()
    # Nothing carries this source, so that the model is not even asked.
    nothing = server.client.post(path, json={"question": UNKNOWN, "filter": {"source": "no such source"}}).json()
    assert (answered["found"], nothing["found"]) == (True, False)
    return {"answered": answered, "nothing": nothing}


@pytest.fixture(params=["light", "dark"])
def schemed(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """A page in either scheme."""
    context = browser.new_context(color_scheme=request.param)
    yield context.new_page()
    context.close()


def test_an_answer_is_cited_explained_and_found_again_as_wrong(page: Page, server: Server) -> None:
    go(page, server, "/admin/c/default/ask")
    page.get_by_label("Passages", exact=True).fill("2")  # few are read sooner
    page.get_by_label("Question").fill(CARVED)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(page.get_by_role("heading", name="Time by stage")).to_be_visible(timeout=ANSWERED_MS)
    expect(page.locator(".answer")).to_contain_text("Sedgewray")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()

    # A citation leads to the passage that it quotes.
    cited = page.locator(".answer .cite").first
    target = cited.get_attribute("href") or ""
    cited.click()
    expect(page.locator(f".passage{target} mark").first).to_be_visible()

    # The diagram, and the same as a table: what comes to a passage is at most all mass.
    expect(page.locator(".flow svg path").first).to_be_visible()
    page.get_by_text("The same as a table").click()
    table = page.get_by_role("region", name="Flow of the walk's mass")
    expect(table.get_by_role("row").filter(has_text="1. Maren Tolloway").first).to_be_visible()
    expect(table.get_by_role("link", name="Maren Tolloway", exact=True).first).to_have_attribute(
        "href", re.compile(r"/admin/c/default/graph\?phrase=\d+")
    )
    shares = [float(cell.rstrip(" %")) for cell in table.locator("td.right").all_inner_texts()]
    assert len(shares) > 5
    assert 0 < max(shares) < 100
    ranks = page.get_by_role("region", name="How the passages ranked").get_by_role("row")
    expect(ranks).to_have_count(3)
    assert "top_k=2" in page.url
    assert not serious_findings(page)

    # Whoever comes back sees the same answer, and nothing is asked again.
    asked = server.client.get("/v1/queries").json()["queries"]
    page.reload()
    page.wait_for_function("window.socket && window.socket.connected")
    expect(page.locator(".quotes blockquote").first).to_be_visible()
    expect(page.locator(".answer").filter(has_text="Sedgewray")).to_be_visible()
    assert server.client.get("/v1/queries").json()["queries"] == asked

    page.get_by_role("button", name="Wrong answer").click()
    expect(page.get_by_text("Kept as wrong")).to_be_visible()
    page.get_by_label("The right answer").fill("Lorcan Sedgewray of <b>Karravik</b>")
    page.get_by_label("Comment").fill("too short")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Why this answer").click()
    expect(page.get_by_label("The right answer")).to_have_value("Lorcan Sedgewray of <b>Karravik</b>")
    expect(page.get_by_role("button", name="Wrong answer")).to_have_attribute("aria-pressed", "true")

    go(page, server, "/admin/questions")
    page.get_by_label("Rating").select_option("rated down")
    page.get_by_label("Question or answer holds").fill("FIGUREHEAD")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile(r"rated=down"))
    row = page.get_by_role("region", name="Questions").get_by_role("row").filter(has_text=CARVED)
    expect(row).to_contain_text(["right: Lorcan Sedgewray of <b>Karravik</b>"])
    with page.expect_download() as download:
        page.get_by_role("button", name="Rated ones for evaluation").click()
    lines = [json.loads(line) for line in Path(download.value.path()).read_text().splitlines()]
    assert {"question": CARVED, "answers": ["Lorcan Sedgewray of <b>Karravik</b>"]}.items() <= lines[0].items()

    # It can be changed.
    row.get_by_role("link", name=CARVED).click()
    page.get_by_role("button", name="Right answer").click()
    expect(page.get_by_text("Kept as right")).to_be_visible()
    go(page, server, "/admin/questions?rated=down")
    expect(page.get_by_text("No question is like that.")).to_be_visible()


def test_asking_can_be_stopped(page: Page, server: Server) -> None:
    before = len(server.client.get("/v1/queries").json()["queries"])
    go(page, server, f"/admin/c/default/ask?q={quote_plus(CARVED)}&strategy=notes&top_k=7")
    expect(page.get_by_label("Passages", exact=True)).to_have_value("7")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped. Nothing of this question was kept.")).to_be_visible()
    expect(page.get_by_role("button", name="Ask")).to_be_visible()
    assert len(server.client.get("/v1/queries").json()["queries"]) == before


def test_a_filter_that_is_no_json_is_named(page: Page, server: Server) -> None:
    go(page, server, "/admin/c/default/ask")
    page.get_by_label("Question").fill("Who?")
    page.get_by_label("Filter (JSON)").fill("{year")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator(".q-notification")).to_contain_text("filter: must be a JSON object")


@pytest.mark.usefixtures("asked")
def test_two_ways_are_compared(browser: Browser, server: Server) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    go(page, server, f"/admin/c/default/compare?q={quote_plus(CARVED)}&a=graph.direct&b=dense.direct")
    moves = page.get_by_role("region", name="Hits side by side")
    expect(moves).to_be_visible(timeout=2 * ANSWERED_MS)
    assert page.locator(".answer").all_inner_texts() != ["", ""]
    found = {}
    for mode in ("graph", "dense"):
        body = {"query": CARVED, "mode": mode, "top_k": 5}
        hits = server.client.post("/v1/collections/default/search", json=body).json()["hits"]
        found[mode] = {hit["passage_id"]: hit["rank"] for hit in hits}
    wanted = {one: (found["graph"].get(one), found["dense"].get(one)) for one in {**found["graph"], **found["dense"]}}
    shown = {}
    for row in moves.get_by_role("row").all()[1:]:
        passage_id = int((row.get_by_role("link").get_attribute("href") or "").rsplit("/", 1)[1])
        ranks = [int(cell) if cell.isdecimal() else None for cell in row.locator("td.right").all_inner_texts()]
        shown[passage_id] = tuple(ranks)
    assert shown == wanted
    assert "a=graph.direct&b=dense.direct" in page.url
    assert not serious_findings(page)
    context.close()


def test_unanswered_questions_come_first(schemed: Page, server: Server, asked: dict[str, Any]) -> None:
    go(schemed, server, "/admin/questions")
    schemed.get_by_label("Order").select_option("unanswered first")
    schemed.get_by_role("button", name="Show").click()
    expect(schemed).to_have_url(re.compile("order=unanswered_first"))
    outcomes = schemed.get_by_role("region", name="Questions").locator(".badge").all_inner_texts()
    states = [one for one in outcomes if one in ("answered", "not in memory")]
    assert states == sorted(states, reverse=True)
    assert set(states) == {"answered", "not in memory"}
    schemed.get_by_label("Outcome").select_option("not in memory")
    schemed.get_by_role("button", name="Show").click()
    expect(schemed.get_by_role("region", name="Questions")).not_to_contain_text(CARVED)
    expect(schemed.get_by_role("region", name="Questions")).to_contain_text(UNKNOWN)
    assert not serious_findings(schemed)
    go(schemed, server, "/admin/questions?least_ms=soon")
    expect(schemed.get_by_role("alert")).to_contain_text("least_ms: must be milliseconds")
    go(schemed, server, f"/admin/questions/{asked['answered']['query_id']}")
    expect(schemed.locator(".flow svg path").first).to_be_visible()
    expect(schemed.locator(".quotes blockquote").first).to_be_visible()
    assert not serious_findings(schemed)
    schemed.set_viewport_size({"width": 400, "height": 800})
    assert schemed.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_notes_can_be_narrowed_down(schemed: Page, server: Server) -> None:
    go(schemed, server, "/admin/c/default/notes")
    schemed.get_by_role("link", name="Whose documents changed since").click()
    expect(schemed).to_have_url(re.compile("changed=yes"))
    expect(schemed.get_by_text("No note is like that.")).to_be_visible()
    assert not serious_findings(schemed)
