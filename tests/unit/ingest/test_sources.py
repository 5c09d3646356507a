"""Addresses as items of a job: fetched in the worker, learned under their address, failed with a reason."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from sqlalchemy import select

from ingest.extraction_pool import PooledExtraction
from ingest.fetching import FetchParams
from ingest.file_reader import FileReader
from ingest.formats import ReadLimits
from ingest.jobs import fingerprint_paths
from ingest.pipeline import Learner, PipelineParams
from ingest.sources import SourceParams, Sources, address_items, is_address, parse_address
from ingest.stores import parse_store_rules
from ingest.web_addresses import parse_host_rules
from memory_graph.database import Database
from memory_graph.errors import InvalidInput, UnreadableDocument
from memory_graph.store.jobs import Item, Job, replace_item
from memory_graph.store.keys import NewKey, add_key
from memory_graph.store.rows import now
from memory_graph.store.shares import Share, take_item
from memory_graph.store.spending import spent_by
from memory_graph.tables import documents, job_items, jobs
from memory_graph.types import Document
from retrieval.testing import HashEmbedder
from tests.unit.factories import CapitalsPool, ParagraphSplitter, find_job, new_collection, new_job
from tests.unit.ingest.web_server import WebServer, running, say

HOST = "files.example"
LIMITS = ReadLimits(max_file_bytes=10_000)


@pytest.fixture
def server() -> Iterator[WebServer]:
    with running(WebServer()) as started:
        yield started


@pytest.fixture
def store() -> Iterator[Any]:
    MemoryFileSystem.store.clear()
    yield fsspec.filesystem("memory")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def _params(server: WebServer | None = None, **changes: Any) -> SourceParams:
    port = server.port if server else 80
    fetch = FetchParams(
        hosts=parse_host_rules(f"{HOST}:{port}", "SETTING"),
        permitted=(IPv4Network("127.0.0.1/32"),),
        resolver=lambda _host, _port: ["127.0.0.1"],
        pause_s=0.0,
    )
    given: dict[str, Any] = {"fetch": fetch, "stores": parse_store_rules("memory://library", "SETTING")}
    return SourceParams(**given | changes)


def _item(url: str, kind: str = "url", name: str | None = None) -> Item:
    payload = {"url": url}
    return Item(id=1, kind=kind, name=name or url, size=0, attempts=0, known=0, payload=payload, data=None)


def _read(database: Database, item: Item, params: SourceParams) -> list[Document | UnreadableDocument]:
    return list(Sources(database, params).read(item, FileReader(LIMITS)))


def _failure(database: Database, item: Item, params: SourceParams) -> UnreadableDocument:
    (found,) = _read(database, item, params)
    assert isinstance(found, UnreadableDocument)
    assert found.name == item.name
    return found


def _learn(database: Database, params: SourceParams, job_id: str = "job-1") -> Job:
    learner = Learner(
        database,
        HashEmbedder(16),
        PooledExtraction(CapitalsPool()),
        {"recursive": ParagraphSplitter()},  # type: ignore[dict-item]
        limits=LIMITS,
        params=PipelineParams(batch_passages=2),
        sources=Sources(database, params),
    )
    with learner.open(job_id) as learn_next:
        while learn_next():
            pass
    return find_job(database, job_id)


def _submit(database: Database, *urls: str, params: SourceParams) -> None:
    new_collection(database)
    new_job(database, address_items(parse_address(url, params, "PATH") for url in urls))


def _learned(database: Database) -> dict[str, tuple[str | None, str]]:
    with database.read() as connection:
        rows = connection.execute(select(documents.c.key, documents.c.source, documents.c.title))
        return {key: (source, title) for key, source, title in rows}


def test_a_page_is_learned_under_its_address(database: Database, server: WebServer) -> None:
    server.answer("/tides", say(b"<title>Tides</title><p>Ada Quill likes Fennay."))
    params = _params(server)
    url = f"http://{HOST}:{server.port}/tides"
    _submit(database, f"HTTP://{HOST.upper()}:{server.port}/x/../tides#part", params=params)
    job = _learn(database, params)
    assert (job.documents, job.failed, job.pending) == (1, 0, 0)
    assert _learned(database) == {url: (url, "Tides")}
    with database.read() as connection:
        assert connection.execute(select(job_items.c.payload, job_items.c.data)).all() == [(None, None)]


def test_a_page_that_did_not_change_is_known_and_one_that_did_is_replaced(
    database: Database, server: WebServer
) -> None:
    params = _params(server)
    url = f"http://{HOST}:{server.port}/tides.md"
    server.answer("/tides.md", say(b"# Tides\n\nThey rise.", Content_Type="text/markdown"))
    _submit(database, url, params=params)
    assert _learn(database, params).documents == 1
    new_job(database, address_items([parse_address(url, params, "PATH")]), job_id="job-2")
    again = _learn(database, params, "job-2")
    assert (again.documents, again.known) == (0, 1)
    server.answer("/tides.md", say(b"# Tides\n\nThey fall.", Content_Type="text/markdown"))
    new_job(database, address_items([parse_address(url, params, "PATH")]), job_id="job-3")
    assert _learn(database, params, "job-3").documents == 1
    assert list(_learned(database)) == [url]


def test_a_failure_is_a_failed_item_and_the_others_are_learned(database: Database, server: WebServer) -> None:
    params = _params(server)
    server.answer("/gone", say(status=404))
    server.answer("/picture", say(b"x", Content_Type="image/png"))
    server.answer("/large", say(b"x" * 10_001))
    server.answer("/tides", say(b"<p>They rise."))
    base = f"http://{HOST}:{server.port}"
    _submit(database, *(f"{base}/{name}" for name in ("gone", "picture", "large", "tides")), params=params)
    job = _learn(database, params)
    assert (job.documents, job.failed, job.items) == (1, 3, 4)
    assert {one.name: one.reason for one in job.failures} == {
        f"{base}/gone": "http_404",
        f"{base}/picture": "unsupported",
        f"{base}/large": "too_large",
    }


def test_the_worker_goes_by_its_own_settings(database: Database, server: WebServer) -> None:
    _submit(database, f"http://{HOST}:{server.port}/", "memory://library/a.md", params=_params(server))
    job = _learn(database, SourceParams())
    assert [(one.reason, "SHARPWAVE_" in one.error) for one in job.failures] == [("not_allowed", True)] * 2
    assert server.requests == []


def test_lines_of_a_page_keep_their_ids_and_name_the_address(database: Database, server: WebServer) -> None:
    body = b'{"id": "a", "text": "They rise."}\n{"id": 1}\n{"text": "They fall.", "source": "almanac"}\n'
    server.answer("/lines?day=1", say(body, Content_Type="application/x-ndjson"))
    url = f"http://{HOST}:{server.port}/lines?day=1"
    first, second, third = _read(database, _item(url), _params(server))
    assert isinstance(first, Document)
    assert (first.id, first.source) == ("a", url)
    assert isinstance(second, UnreadableDocument)
    assert second.name == f"{url}:2"
    assert isinstance(third, Document)
    assert third.id.startswith("sha256:")
    assert third.source == "almanac"


@pytest.mark.parametrize(("path", "title"), [("/the_high-tides.php?x=y.z", "the high tides.php"), ("/", HOST)])
def test_a_page_without_a_title_is_called_by_its_path(
    database: Database, server: WebServer, path: str, title: str
) -> None:
    server.answer(path, say(b"<p>They rise."))
    (found,) = _read(database, _item(f"http://{HOST}:{server.port}{path}"), _params(server))
    assert isinstance(found, Document)
    assert found.title == title


def test_a_page_in_the_encoding_of_its_server_is_read(database: Database, server: WebServer) -> None:
    server.answer("/", say("<p>Lärm".encode("latin-1"), Content_Type="text/html; charset=ISO-8859-1"))
    (found,) = _read(database, _item(f"http://{HOST}:{server.port}/"), _params(server))
    assert isinstance(found, Document)
    assert found.text == "Lärm"


def test_a_redirected_page_keeps_the_address_that_was_given(database: Database, server: WebServer) -> None:
    server.answer("/old", say(status=301, Location="/new.md"))
    server.answer("/new.md", say(b"# Tides\n\nThey rise.", Content_Type="application/octet-stream"))
    url = f"http://{HOST}:{server.port}/old"
    (found,) = _read(database, _item(url), _params(server))
    assert isinstance(found, Document)
    assert (found.id, found.source, found.title) == (url, url, "Tides")


@pytest.mark.parametrize(
    ("kind", "url"), [("url", "http://127.1/"), ("store", "zip://a::memory://library/b"), ("url", "None")]
)
def test_what_stands_in_a_job_is_read_as_strictly_as_a_request(database: Database, kind: str, url: str) -> None:
    assert _failure(database, _item(url, kind), _params()).reason == "invalid"


# Stores


def test_an_object_is_learned_under_its_address(database: Database, store: Any) -> None:
    store.pipe("/library/docs/tides.md", b"# Tides\n\nThey rise.")
    params = _params()
    _submit(database, "memory://library/docs/tides.md", params=params)
    assert _learn(database, params).documents == 1
    assert _learned(database) == {"memory://library/docs/tides.md": ("memory://library/docs/tides.md", "Tides")}


def test_a_prefix_becomes_an_item_for_each_object(database: Database, store: Any) -> None:
    for name in ("a", "b", "c"):
        store.pipe(f"/library/docs/{name}.txt", b"They rise at %s." % name.encode())
    store.pipe("/library/docs/empty.txt", b"")
    store.pipe("/library/docs/large.txt", b"x" * 10_001)
    params = _params()
    _submit(database, "memory://library/docs/", params=params)
    job = _learn(database, params)
    assert (job.documents, job.failed, job.items, job.pending) == (3, 2, 5, 0)
    assert {one.name: one.reason for one in job.failures} == {
        "memory://library/docs/empty.txt": "empty",
        "memory://library/docs/large.txt": "too_large",
    }
    assert sorted(_learned(database)) == [f"memory://library/docs/{name}.txt" for name in "abc"]
    assert job.size == sum(len(b"They rise at a.") for _ in "abc") + 10_001


def _take(database: Database, after: int) -> Item | None:
    with database.write() as connection:
        return take_item(connection, Share(job_id="job-1", number=1), after=after, suspect_from=9)


def test_a_prefix_is_expanded_once_whatever_interrupts_the_job(database: Database, store: Any) -> None:
    for n in range(5):
        store.pipe(f"/library/{n}.txt", b"They rise at %d." % n)
    params = _params()
    _submit(database, "memory://library/", params=params)
    listing = _take(database, 0)
    assert listing is not None
    sources = Sources(database, params)
    assert list(sources.read(listing, FileReader(LIMITS))) == []
    # A worker that was taken for dead goes on where it stood, and lists once more.
    assert list(sources.read(listing, FileReader(LIMITS))) == []
    items: list[Item] = []
    while (item := _take(database, items[-1].id if items else 0)) is not None:
        items.append(item)
    assert [one.name for one in items] == [f"memory://library/{n}.txt" for n in range(5)]
    assert [dict(one.payload or {}) for one in items] == [{"url": one.name} for one in items]
    job = _learn(database, params)
    assert (job.documents, job.items) == (5, 5)


def test_an_item_that_was_cancelled_is_not_replaced(database: Database) -> None:
    _submit(database, "memory://library/", params=_params())
    with database.write() as connection:
        connection.execute(job_items.update().values(state="cancelled"))
    with database.write() as connection:
        replace_item(connection, 1, address_items([parse_address("memory://library/a.md", _params(), "PATH")]))
    with database.read() as connection:
        assert connection.execute(select(job_items.c.name, job_items.c.state)).all() == [
            ("memory://library/", "cancelled")
        ]


def test_a_prefix_with_nothing_to_read_fails(database: Database, store: Any) -> None:
    store.pipe("/library/docs/a.png", b"x")
    params = _params()
    _submit(database, "memory://library/docs/", params=params)
    job = _learn(database, params)
    assert [(one.name, one.reason) for one in job.failures] == [("memory://library/docs/", "missing")]


def test_an_object_of_another_format_is_not_even_read(database: Database, store: Any) -> None:
    store.pipe("/library/a.png", b"x")
    found = _failure(database, _item("memory://library/a.png", "store"), _params())
    assert found.reason == "unsupported"
    assert ".md" in found.detail


# What is submitted


def test_paths_and_addresses_are_told_apart() -> None:
    assert all(map(is_address, ["https://a/", "HTTP:x", "s3://b/c", "zip://a::s3://b", "file:///etc"]))
    assert not any(map(is_address, ["docs", "docs/*.md", "/srv/a:b", "C:x", "docs/http://x"]))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://other.example/", r"https://other\.example is not on .*SHARPWAVE_URL_HOSTS"),
        ("s3://library/a.md", "SHARPWAVE_STORES"),
        ("memory://other/a.md", "SHARPWAVE_STORES"),
        ("file:///etc/passwd", "file:// is never read from"),
        ("http://127.1/", "four decimal numbers"),
    ],
)
def test_an_address_that_is_not_allowed_names_the_setting(url: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as refused:
        parse_address(url, _params(), "urls.7")
    assert refused.value.field == "urls.7"


def test_a_payload_holds_the_address_alone() -> None:
    params = _params()
    items = address_items(parse_address(url, params, "x") for url in (f"http://{HOST}/a", "memory://library/b"))
    assert [(one.kind, one.name, one.payload, one.data) for one in items] == [
        ("url", f"http://{HOST}/a", {"url": f"http://{HOST}/a"}, None),
        ("store", "memory://library/b", {"url": "memory://library/b"}, None),
    ]


def test_the_fingerprint_of_paths_alone_is_what_it_was() -> None:
    assert fingerprint_paths([], "none") == fingerprint_paths([], "none", [])
    assert fingerprint_paths([], "none", ["a", "b"]) == fingerprint_paths([], "none", ["b", "a"])
    assert fingerprint_paths([], "none", ["a"]) != fingerprint_paths([], "none", ["b"])


def test_what_is_fetched_is_charged_to_the_key_that_asked_for_it(database: Database, server: WebServer) -> None:
    params = _params(server)
    for path in ("/a", "/b", "/c"):
        server.answer(path, say(b"<p>They rise."))  # 13 bytes each
    _submit(database, *(f"http://{HOST}:{server.port}{path}" for path in ("/a", "/b", "/c")), params=params)
    with database.write() as connection:
        add_key(connection, NewKey(id="k", name="k", hash="", scopes=frozenset({"write"}), bytes_per_day=30))
        connection.execute(jobs.update().values(key_id="k"))
    job = _learn(database, params)
    assert (job.documents, [(one.reason, one.error) for one in job.failures]) == (
        2,
        [("quota_spent", "13 bytes go beyond what this key may give today (UTC): 4 of 30 are left")],
    )
    with database.read() as connection:
        assert spent_by(connection, "k", now().date()).bytes == 26
