"""Documents in a real browser: lists of many, what was found in a text, and learning, replacing and quoting."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Connection, insert

from memory_graph.store.collections import create_collection
from memory_graph.store.listing import names_of
from memory_graph.tables import documents, fact_sources, facts, mentions, passages, phrases
from tests.integration.dashboard.browsing import go, serious_findings
from tests.integration.dashboard.dialogs import serious_findings_in_dialog
from tests.integration.installation import Server, learn

SHELF = "zz-shelf"
MANY = 100_000
LONG = "a long book"
PARTS = 45
HERE = f"/admin/c/{SHELF}/documents"
START = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def shelf(server: Server) -> Iterator[Server]:
    """The service with a collection of many documents, one of them long, with names and a fact in each passage."""
    with server.installation.open() as database, database.write() as connection:
        fill(connection, create_collection(connection, SHELF).id)
    yield server
    assert server.client.delete(f"/v1/collections/{SHELF}").status_code == 204


def fill(connection: Connection, cid: int) -> None:
    common = {"collection_id": cid, "metadata": {}, "content_hash": "", "version": 1}
    rows = []
    for number in range(MANY):
        key, title = f"letters/{number:05d}.txt", f"Letter {MANY - number:05d}" if number % 3 != 1 else ""
        row = {**common, "key": key, "title": title, "source": f"box {number % 10}", "passages": number % 7}
        row |= {"names": names_of(key, title, row["source"]), "created_at": START + timedelta(minutes=number)}
        rows.append(row)
    connection.execute(insert(documents), rows)
    row = {**common, "key": LONG, "title": "", "source": None, "names": names_of(LONG, "", None), "passages": PARTS}
    document = connection.scalar(
        insert(documents).values(**row, created_at=START - timedelta(days=1)).returning(documents.c.id)
    )
    ada, bram = (
        connection.scalar(insert(phrases).values(collection_id=cid, key=key, version=1).returning(phrases.c.id))
        for key in ("ada quill", "bram oster")
    )
    fact = {"collection_id": cid, "subject_id": ada, "predicate": "wrote to", "object_id": bram, "version": 1}
    fact_id = connection.scalar(insert(facts).values(fact).returning(facts.c.id))
    for ordinal in range(PARTS):
        text = f"<b>Part {ordinal + 1}</b>: Ada Quill wrote to Bram Oster & others."
        at = {"document_id": document, "ordinal": ordinal, "text": text, "heading": "", "start": 0, "end": len(text)}
        row = {"collection_id": cid, "text_hash": f"{ordinal}", "version": 1, **at}
        passage = connection.scalar(insert(passages).values(row).returning(passages.c.id))
        named = {"passage_id": passage, "collection_id": cid, "count": 1, "version": 1}
        connection.execute(insert(mentions).values(**named, phrase_id=ada, surface="Ada Quill"))
        connection.execute(insert(mentions).values(**named, phrase_id=bram, surface="Bram Oster"))
        stated = {"fact_id": fact_id, "passage_id": passage, "collection_id": cid, "version": 1}
        connection.execute(insert(fact_sources).values(stated))


def listed(page: Page) -> list[str]:
    """Return what is linked in the list, from the top."""
    links = page.get_by_role("region", name="Documents").locator("tbody td:nth-child(2) a")
    expect(links.first).to_be_visible()
    return links.all_inner_texts()


def test_a_long_list_is_paged_sorted_and_narrowed_in_the_address(page: Page, shelf: Server) -> None:
    go(page, shelf, HERE)
    expect(page.locator(".lead")).to_contain_text(f"{MANY + 1:,} documents")
    first = listed(page)
    assert (len(first), first[0]) == (50, LONG)
    page.get_by_role("link", name="Next page").click()
    page.wait_for_url(re.compile("cursor="))
    second = listed(page)
    assert len(second) == 50
    assert not set(first) & set(second)
    page.get_by_role("link", name="Previous page").click()
    page.wait_for_url(re.compile("back=1"))
    assert listed(page) == first
    expect(page.get_by_role("link", name="Previous page")).to_have_count(0)
    page.get_by_role("link", name="First page").click()
    page.wait_for_url(re.compile(r"documents\?sort=learned&order=asc$"))

    head = page.get_by_role("columnheader", name="Title")
    assert head.get_attribute("aria-sort") == "none"
    head.get_by_role("link").click()
    page.wait_for_url(re.compile("sort=title&order=asc"))
    assert page.get_by_role("columnheader", name="Title").get_attribute("aria-sort") == "ascending"
    assert listed(page)[:2] == [LONG, "Letter 00001"]
    page.get_by_role("columnheader", name="Title").get_by_role("link").click()
    page.wait_for_url(re.compile("sort=title&order=desc"))
    assert page.get_by_role("columnheader", name="Title").get_attribute("aria-sort") == "descending"

    search = page.get_by_label("Title, id or source")
    search.fill("LETTER 0004")
    search.press("Enter")
    page.wait_for_url(re.compile(r"q=LETTER\+0004"))
    expect(page.get_by_label("Title, id or source")).to_have_value("LETTER 0004")
    assert listed(page) == [f"Letter {n:05d}" for n in range(49, 39, -1) if (MANY - n) % 3 != 1]
    page.get_by_label("Learned from").fill("2024-03-10")
    page.get_by_label("to", exact=True).fill("2024-03-10")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url(re.compile("until=2024-03-10"))
    wanted = [n for n in range(49, 39, -1) if (MANY - n) % 3 != 1]
    that_day = [n for n in wanted if (START + timedelta(minutes=MANY - n)).date().isoformat() == "2024-03-10"]
    assert listed(page) == [f"Letter {n:05d}" for n in that_day] != []
    page.get_by_role("link", name="Show all").click()
    page.wait_for_url(re.compile("documents$"))
    assert listed(page) == first


def go_to_the_end(page: Page, server: Server, path: str) -> None:
    """Open a page, and those after it until something was found or all was looked at: each looks for a second."""
    go(page, server, path)
    while page.get_by_text("None found so far.").count():
        go(page, server, page.get_by_role("link", name="Next page").get_attribute("href") or "")


def test_what_is_rare_or_nowhere_is_looked_for_to_the_end(page: Page, shelf: Server) -> None:
    for sort in ("learned", "title", "passages", "occurred"):
        go_to_the_end(page, shelf, f"{HERE}?q=letters/99999&sort={sort}&order=asc")
        assert len(listed(page)) == 1
    go_to_the_end(page, shelf, f"{HERE}?q=nobody+at+all")
    expect(page.locator(".content")).to_contain_text("No document is so.")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("since=yesterday", "since: 'yesterday' is no day"),
        ("until=9999-12-31", "until: '9999-12-31' is no day"),
        ("sort=size", "sort: must be one of"),
        ("order=up", "order: must be one of"),
        ("copies=maybe", "copies: must be one of"),
        ("cursor=made-up", "cursor: must be the next_cursor"),
        ("q=%00", "q: is up to 1,000 characters without NUL"),
    ],
)
def test_an_address_that_makes_no_sense_is_named(page: Page, shelf: Server, query: str, said: str) -> None:
    go(page, shelf, f"{HERE}?{query}")
    expect(page.locator(".content").last).to_contain_text(said)


def test_a_long_document_is_read_in_parts(page: Page, shelf: Server) -> None:
    go(page, shelf, f"{HERE}/{quote(LONG)}")
    expect(page.locator(".passage")).to_have_count(20)
    expect(page.locator(".passage .text").first).to_have_text("<b>Part 1</b>: Ada Quill wrote to Bram Oster & others.")
    page.get_by_role("link", name="Passages after").first.click()
    page.wait_for_url(re.compile("first=21$"))
    expect(page.locator(".passage").first).to_contain_text("Part 21")
    page.get_by_role("link", name="Last passages").first.click()
    page.wait_for_url(re.compile("first=41$"))
    expect(page.locator(".passage")).to_have_count(5)
    page.get_by_label("From passage").first.fill("30")
    page.get_by_role("button", name="Go").first.click()
    page.wait_for_url(re.compile("first=30$"))
    expect(page.locator(".passage").first).to_contain_text("Part 30")
    go(page, shelf, f"{HERE}/{quote(LONG)}?first=0")
    expect(page.locator(".content").last).to_contain_text("first: must be the number of a passage")


def test_the_parts_of_a_fact_light_up_together(page: Page, shelf: Server) -> None:
    go(page, shelf, f"{HERE}/{quote(LONG)}")
    passage = page.locator(".passage").first
    ada = passage.locator(".text").get_by_role("link", name="Ada Quill")
    assert re.fullmatch(rf"/admin/c/{SHELF}/graph\?phrase=\d+", ada.get_attribute("href") or "")
    expect(passage.locator(".lit")).to_have_count(0)
    ada.hover()
    expect(passage.locator(".text .lit")).to_have_text(["Ada Quill", "wrote to", "Bram Oster"])
    page.locator("h1").hover()
    expect(passage.locator(".lit")).to_have_count(0)
    ada.focus()  # by the keyboard
    expect(passage.locator(".text .lit")).to_have_count(3)
    passage.locator("summary").click()
    expect(passage.locator("li")).to_have_text("Ada Quill wrote to Bram Oster")
    passage.locator("li").get_by_role("link", name="Bram Oster").focus()
    expect(passage.locator(".text .lit")).to_have_count(3)
    expect(page.locator(".passage").nth(1).locator(".lit")).to_have_count(0)


def test_these_pages_have_no_serious_finding(browser: Browser, shelf: Server) -> None:
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        page = context.new_page()
        for path in (f"{HERE}?q=letter&sort=title&order=desc", f"{HERE}/{quote(LONG)}?first=21"):
            go(page, shelf, path)
            assert not serious_findings(page), f"{path} in {scheme}"
        page.locator(".passage summary").first.click()
        page.get_by_role("button", name="Replace").click()
        expect(page.get_by_label("New text")).to_be_visible()
        assert not serious_findings_in_dialog(page), f"replacing in {scheme}"
        context.close()
    context = browser.new_context(viewport={"width": 400, "height": 800})
    page = context.new_page()
    for path in (HERE, f"{HERE}/{quote(LONG)}"):
        go(page, shelf, path)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
    context.close()


DROP = """
async given => {
  const carried = new DataTransfer();
  for (const [name, text, megabytes] of given)
    carried.items.add(new File([text, new ArrayBuffer(megabytes * 2 ** 20)], name));
  document.querySelector('.drop').dispatchEvent(new DragEvent('drop', {dataTransfer: carried, bubbles: true}));
}
"""


def test_files_are_dropped_and_each_says_what_became_of_it(page: Page, server: Server) -> None:
    go(page, server, "/admin/c/default/documents")
    given = [["<b>dropped.txt", "Vesper Quill drops a line.", 0], ["thing.xyz", "?", 0], ["huge.txt", "x", 101]]
    page.evaluate(DROP, given)
    lines = page.locator("#sending li")
    expect(lines.nth(0)).to_have_text("<b>dropped.txtlearned", timeout=180_000)
    expect(lines.nth(1)).to_contain_text("known formats are")
    expect(lines.nth(2)).to_contain_text("too large: 101.0 MB, the most is 100.0 MB")
    expect(page.locator("#sent")).to_contain_text("2 of 3 files sent")
    expect(page.get_by_role("region", name="What failed").get_by_role("row").nth(1)).to_contain_text("thing.xyz")
    page.get_by_role("link", name="What it learned").click()
    page.wait_for_url(re.compile("job="))
    assert listed(page) == ["<b>dropped"]
    assert server.client.delete("/v1/collections/default/documents/%3Cb%3Edropped.txt").status_code == 200


def test_a_folder_is_learned_with_its_paths(page: Page, server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "papers"
    (folder / "old").mkdir(parents=True)
    (folder / "one.txt").write_text("Ottoline Farr keeps bees.")
    (folder / "old" / "one.txt").write_text("Percival Dray sold them.")
    go(page, server, "/admin/c/default/documents")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a folder").click()
    chooser.value.set_files(folder)
    expect(page.get_by_role("status").filter(has_text="succeeded")).to_be_visible(timeout=180_000)
    for key in ("papers/one.txt", "papers/old/one.txt"):
        assert server.client.delete(f"/v1/collections/default/documents/{key}").status_code == 200


def test_a_text_is_replaced_and_its_history_tells(page: Page, server: Server) -> None:
    given = {"id": "a/note?", "title": "A note", "text": "Isolde Brack rows to Fennay.", "source": "pocket"}
    learn(server.client, given | {"metadata": {"year": 1931}})
    path = "/admin/c/default/documents/" + quote("a/note?", safe="")
    go(page, server, path)
    page.get_by_role("button", name="Replace").click()
    page.get_by_label("New text").fill("Isolde Brack sails to Karravik.")
    page.get_by_role("button", name="Replace it").click()
    expect(page.get_by_role("status").filter(has_text="succeeded")).to_be_visible(timeout=180_000)
    page.reload()
    expect(page.locator(".passage .text")).to_have_text("Isolde Brack sails to Karravik.")
    expect(page.get_by_role("region", name="History").get_by_role("row")).to_have_count(3)
    found = server.client.get("/v1/collections/default/documents/" + quote("a/note?", safe="")).json()
    assert (found["title"], found["source"], found["metadata"]) == ("A note", "pocket", {"year": 1931})
    assert server.client.delete("/v1/collections/default/documents/" + quote("a/note?", safe="")).status_code == 200


def test_several_documents_are_forgotten_with_one_preview_and_one_confirmation(page: Page, server: Server) -> None:
    given = [
        {"id": f"zz-{name}", "text": f"Wilmet Aske saw the {name}.", "source": "zz"} for name in ("sea", "bay", "fen")
    ]
    learn(server.client, *given)
    go(page, server, "/admin/c/default/documents?source=zz")
    expect(page.get_by_role("button", name="Forget what is chosen")).to_be_disabled()
    page.get_by_role("checkbox", name="Choose all on this page").check()
    page.get_by_role("checkbox", name="Choose zz-fen").uncheck()
    page.get_by_role("button", name="Forget 2 documents").click()
    dialog = page.get_by_role("dialog", name="Forget these documents?")
    rows = dialog.get_by_role("region", name="What would go").get_by_role("row")
    expect(rows).to_have_count(4)
    expect(rows.filter(has_text="…")).to_have_count(0)
    for row, name in zip((2, 3, 1), ("zz-sea", "zz-bay", "All together"), strict=True):
        cells = rows.nth(row).get_by_role("cell").all_inner_texts()
        assert cells[:2] == [name, "2" if row == 1 else "1"]
    assert not serious_findings_in_dialog(page)
    sure = dialog.get_by_role("button", name="Forget them")
    expect(sure).to_be_disabled()
    dialog.get_by_label("Type “forget 2 documents” to confirm").fill("forget 2 documents")
    page.evaluate("window.before = true")
    sure.click()
    page.wait_for_function("!window.before")
    assert listed(page) == ["zz-fen"]
    assert server.client.delete("/v1/collections/default/documents/zz-fen").status_code == 200


def test_what_was_changed_since_the_page_was_opened_is_not_replaced(page: Page, server: Server) -> None:
    learn(server.client, {"id": "a-ledger", "text": "Orrin Vale counts the sacks."})
    go(page, server, "/admin/c/default/documents/a-ledger")
    learn(server.client, {"id": "a-ledger", "text": "Orrin Vale counts the barrels."})
    page.get_by_role("button", name="Replace").click()
    page.get_by_label("New text").fill("Orrin Vale counts nothing.")
    page.get_by_role("button", name="Replace it").click()
    expect(page.locator("#replaced")).to_contain_text("Nothing was replaced: the document was changed since")
    expect(page.get_by_label("New text")).to_have_value("Orrin Vale counts nothing.")
    page.reload()
    expect(page.locator(".passage .text")).to_have_text("Orrin Vale counts the barrels.")
    assert server.client.delete("/v1/collections/default/documents/a-ledger").status_code == 200


@pytest.mark.alone
def test_the_questions_whose_answers_quote_a_document_are_listed(page: Page, server: Server) -> None:
    question = "Who baked the first Drummoyle cake?"
    answer = server.client.post("/v1/collections/default/query", json={"question": question}, timeout=180).json()
    assert answer["citations"], answer
    go(page, server, "/admin/c/default/documents/" + quote(answer["citations"][0]["document_id"], safe=""))
    asked = page.get_by_role("region", name="Questions")
    expect(asked).to_contain_text(question)
    asked.get_by_role("link", name=question).first.click()
    page.wait_for_url(re.compile("/admin/questions/"))
