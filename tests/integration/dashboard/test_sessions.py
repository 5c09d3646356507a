"""Sessions in a real browser: how they end under an open page, what a bound key sees, what other sites cannot do."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from itsdangerous import TimestampSigner, URLSafeTimedSerializer
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy import insert

from memory_graph.store.collections import get_collection
from memory_graph.store.listing import names_of
from memory_graph.tables import documents, jobs, passages, queries
from service.dashboard.sessions import COOKIE, HOURS, SECRET_FILE
from tests.integration.dashboard.browsing import go
from tests.integration.installation import Installation, Server, wait_for

KEY = "the-first-key-of-this-test"
MINE, THEIRS = "a-mine", "b-theirs"
SECRET = "Zebulon"  # stands in all that the other collection has
ENDED = "The session has ended. Sign in again to go on from here."
PAGE = f"/admin/c/{MINE}/documents/letter?first=1"


@pytest.fixture(scope="module")
def locked(make_installation: Callable[..., Installation]) -> Iterator[Server]:
    """A service that asks for a key, with two collections that hold a document, a job and a question each."""
    installation = make_installation()
    server = Server(installation, SHARPWAVE_ADMIN_KEY=KEY)
    server.client.headers["Authorization"] = f"Bearer {KEY}"
    for name, text in ((MINE, "Ada"), (THEIRS, SECRET)):
        assert server.client.post("/v1/collections", json={"name": name}).status_code == 201
        with installation.open() as database, database.write() as connection:
            cid, moment = get_collection(connection, name).id, datetime.now(UTC)
            row: dict[str, Any] = {"collection_id": cid, "key": "letter", "title": text, "metadata": {}, "version": 1}
            row |= {"content_hash": "", "names": names_of("letter", text, None), "passages": 1, "created_at": moment}
            document = connection.scalar(insert(documents).values(row).returning(documents.c.id))
            at = {"document_id": document, "ordinal": 0, "text": text, "heading": "", "start": 0, "end": len(text)}
            connection.execute(insert(passages).values(collection_id=cid, text_hash="", version=1, **at))
            job = {"id": f"job-{name}", "collection_id": cid, "state": "failed", "split": "none", "fingerprint": ""}
            job |= {"runs": 1, "seconds": {}, "error": text, "created_at": moment, "finished_at": moment}
            connection.execute(insert(jobs).values(job))
            query = {"id": f"query-{name}", "collection_id": cid, "question": f"{text}?", "answer": text, "found": True}
            query |= {"version": 1, "milliseconds": 1, "trace": {}, "created_at": moment}
            connection.execute(insert(queries).values(query))
    yield server
    server.client.close()
    installation.end()


def make_key(server: Server, *collections: str) -> tuple[str, str]:
    """Return the id and the text of a new admin key."""
    body = {
        "name": f"key of {collections}",
        "scopes": ["admin"],
        **({"collections": collections} if collections else {}),
    }
    made = server.client.post("/v1/keys", json=body)
    assert made.status_code == 201, made.text
    return made.json()["id"], made.json()["key"]


def sign_in(page: Page, server: Server, key: str, path: str) -> None:
    page.goto(server.url + path)
    page.get_by_label("Admin key").fill(key)
    page.keyboard.press("Enter")
    expect(page).to_have_url(server.url + path)
    page.wait_for_function("window.socket && window.socket.connected")


def cookie_of(context: BrowserContext) -> str:
    return next(one["value"] for one in context.cookies() if one["name"] == COOKIE)


def is_open(server: Server, cookie: str) -> bool:
    """Whether a cookie opens the dashboard."""
    answer = httpx.get(f"{server.url}/admin/jobs", cookies={COOKIE: cookie}, trust_env=False, timeout=60)
    assert answer.status_code in (200, 303)
    return answer.status_code == 200


def test_a_session_that_ran_out_says_so_and_comes_back_to_the_same_address(
    page: Page, context: BrowserContext, locked: Server
) -> None:
    class Earlier(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(time.time()) - HOURS * 3600 + 30

    secret = (locked.installation.data_dir / SECRET_FILE).read_text()
    cookie = URLSafeTimedSerializer(secret, salt="session", signer=Earlier).dumps({"key": "first", "nonce": "n"})
    assert isinstance(cookie, str)
    context.add_cookies([{"name": COOKIE, "value": cookie, "domain": "127.0.0.1", "path": "/admin"}])
    go(page, locked, PAGE)
    expect(page.locator(".passage .text")).to_have_text("Ada")
    wait_for(lambda: not is_open(locked, cookie), within_s=60, what="the end of the session")
    page.get_by_role("button", name="Forget").click()
    expect(page.get_by_text(ENDED)).to_be_visible()
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile(r"/admin/sign-in\?next=%2Fadmin"))
    page.get_by_label("Admin key").fill(KEY)
    page.keyboard.press("Enter")
    expect(page).to_have_url(locked.url + PAGE)
    expect(page.locator(".passage .text")).to_have_text("Ada")


def test_a_page_that_refreshes_itself_says_once_that_its_key_was_revoked(page: Page, locked: Server) -> None:
    key_id, key = make_key(locked)
    sign_in(page, locked, key, "/admin/jobs")
    assert locked.client.delete(f"/v1/keys/{key_id}").status_code == 204
    expect(page.get_by_text(ENDED)).to_be_visible()
    page.wait_for_timeout(5_000)  # as many refreshes as there are
    expect(page.get_by_text(ENDED)).to_have_count(1)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Admin key").fill(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("This is no key of this installation.")


def test_a_key_that_is_bound_to_a_collection_sees_it_alone(page: Page, locked: Server) -> None:
    own_id, key = make_key(locked, MINE)
    other_id, _ = make_key(locked, THEIRS)
    sign_in(page, locked, key, PAGE)
    expect(page.locator(".passage .text")).to_have_text("Ada")
    for path in (
        f"/admin/c/{THEIRS}/documents",
        f"/admin/c/{THEIRS}/documents/letter",
        f"/admin/c/{THEIRS}/passages/2",
        f"/admin/c/{MINE}/passages/2",
        f"/admin/c/{THEIRS}/ask",
        f"/admin/c/{THEIRS}/notes",
        f"/admin/jobs/job-{THEIRS}",
        f"/admin/questions/query-{THEIRS}",
    ):
        go(page, locked, path)
        expect(page.get_by_role("heading", name="Not found")).to_be_visible()
        assert SECRET not in page.content(), path
    for path, seen in (
        ("/admin/", MINE),
        (f"/admin/c/{MINE}/documents", "Ada"),
        ("/admin/questions", "Ada?"),
        ("/admin/jobs", MINE),
        ("/admin/keys", own_id[:8]),
        ("/admin/settings", "bound to collections"),
    ):
        go(page, locked, path)
        expect(page.locator(".content").last).to_contain_text(seen)
        for hidden in (SECRET, THEIRS, other_id):
            assert hidden not in page.content(), f"{hidden} at {path}"


def test_a_bound_key_cannot_send_anything_elsewhere(page: Page, context: BrowserContext, locked: Server) -> None:
    _, key = make_key(locked, MINE)
    sign_in(page, locked, key, "/admin/")
    with httpx.Client(base_url=locked.url, cookies={COOKIE: cookie_of(context)}, trust_env=False, timeout=60) as client:
        there, nowhere = (
            client.post(f"/admin/uploads/{name}", files={"files": ("a.txt", b"text")}) for name in (THEIRS, "nowhere")
        )
        assert (there.status_code, nowhere.status_code) == (404, 404)
        assert there.json()["detail"].replace(THEIRS, "nowhere") == nowhere.json()["detail"]
        letter = {"document": "letter", "tag": '"1"'}
        given = {"data": letter, "files": {"text": ("text.txt", b"new")}}
        assert client.post(f"/admin/uploads/{THEIRS}/replacing", **given).status_code == 404
        blank = {"data": letter, "files": {"text": ("text.txt", b" ")}}
        wrong = client.post(f"/admin/uploads/{MINE}/replacing", **blank)
        assert (wrong.status_code, wrong.json()["field"]) == (422, "text")
        wrong = client.post(f"/admin/uploads/{MINE}/replacing", data=letter, files={"text": ("t", b"\xff\xfe")})
        assert (wrong.status_code, wrong.json()["detail"]) == (422, "text: is not in UTF-8")
        assert client.post(f"/admin/uploads/{MINE}/replacing", files={"text": ("t", b"new")}).status_code == 422
    assert locked.client.get(f"/v1/jobs?collection={THEIRS}").json()["jobs"][0]["id"] == f"job-{THEIRS}"


ATTACK = """<!doctype html><title>Another site</title>
<form id="sign-out" method="post" action="SERVER/admin/sign-out"></form>
<form id="sign-in" method="post" action="SERVER/admin/sign-in"><input name="key" value="KEY"></form>
<form id="upload" method="post" action="SERVER/admin/uploads/a-mine" enctype="multipart/form-data">
<input type="file" name="files"></form>"""


def test_a_page_of_another_site_can_do_nothing(page: Page, context: BrowserContext, locked: Server) -> None:
    sign_in(page, locked, KEY, "/admin/")
    cookie = cookie_of(context)
    body = ATTACK.replace("SERVER", locked.url).replace("KEY", KEY)
    context.route("http://attack.test/**", lambda route: route.fulfill(body=body, content_type="text/html"))
    for form in ("sign-out", "sign-in", "upload"):
        page.goto("http://attack.test/")
        if form == "upload":
            page.locator("input[type=file]").set_input_files(
                {"name": "stolen.txt", "mimeType": "text/plain", "buffer": b"text"}
            )
        with page.expect_navigation() as answered:
            page.evaluate(f"document.getElementById('{form}').submit()")
        assert answered.value.status == 403, form
        assert cookie_of(context) == cookie
    assert is_open(locked, cookie)
    assert [one["id"] for one in locked.client.get(f"/v1/jobs?collection={MINE}").json()["jobs"]] == [f"job-{MINE}"]


@pytest.mark.parametrize("path", ["/admin/sign-in", "/admin/sign-out", f"/admin/uploads/{MINE}"])
@pytest.mark.parametrize("origin", ["http://attack.test", "https://127.0.0.1.attack.test", "null"])
def test_requests_from_other_origins_are_refused_whatever_they_carry(locked: Server, path: str, origin: str) -> None:
    secret = (locked.installation.data_dir / SECRET_FILE).read_text()
    cookie = URLSafeTimedSerializer(secret, salt="session").dumps({"key": "first", "nonce": "n"})
    sent = {"data": {"key": KEY}, "files": {"files": ("a.txt", b"text")}}
    if path == "/admin/sign-in":
        sent.pop("files")
    with httpx.Client(base_url=locked.url, cookies={COOKIE: str(cookie)}, trust_env=False, timeout=60) as client:
        refused = client.post(path, headers={"Origin": origin}, **sent)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden_origin")
    assert "set-cookie" not in refused.headers


def test_signing_out_ends_the_session_in_every_tab_and_for_every_copy(
    page: Page, context: BrowserContext, locked: Server
) -> None:
    sign_in(page, locked, KEY, PAGE)
    cookie = cookie_of(context)
    other = context.new_page()
    go(other, locked, "/admin/questions")
    assert is_open(locked, cookie)
    other.get_by_role("button", name="Sign out").click()
    expect(other).to_have_url(f"{locked.url}/admin/sign-in")
    assert not is_open(locked, cookie)  # somebody who copied it has nothing
    page.get_by_role("button", name="Forget").click()
    expect(page.get_by_text(ENDED)).to_be_visible()
