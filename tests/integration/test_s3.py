"""A real S3 server on this machine: listing, reading, and what is said when it refuses."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from ingest.stores import StoreRefused, list_objects, parse_store_address, read_object

_MISSING = [name for name in ("s3fs", "moto", "flask") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(_MISSING), reason=f"S3 IS NOT TESTED, {', '.join(_MISSING)} missing: pip install 's3fs' 'moto[s3,server]'"
)
STARTING_S = 60.0


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + STARTING_S
        while not _answers(url):
            assert server.poll() is None, "the S3 server ended"
            assert time.monotonic() < deadline, "the S3 server does not answer"
            time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/moto-api/", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty bucket ``library``, as the worker's environment leads to it."""
    import s3fs

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST"), timeout=5).close()
    files = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
    files.mkdir("library")
    return files


def _listed(address: str) -> list[str] | None:
    found = list_objects(parse_store_address(address), 100)
    return None if found is None else [str(one) for one, _ in found]


def test_a_prefix_is_listed_and_its_objects_are_read(bucket: Any) -> None:
    for key, data in (
        ("docs/a.md", b"Tides"),
        ("docs/deep/b c.md", b"Moon"),
        ("docs/c.png", b"x"),
        ("docs2/d.md", b"y"),
    ):
        bucket.pipe(f"library/{key}", data)
    bucket.pipe("library/docs/.hidden/e.md", b"x")
    expected = ["s3://library/docs/a.md", "s3://library/docs/deep/b c.md"]
    assert _listed("s3://library/docs/") == expected
    assert _listed("s3://library/docs") == expected
    assert _listed("s3://library") == [*expected, "s3://library/docs2/d.md"]
    assert _listed("s3://library/docs/a.md") is None
    assert [read_object(parse_store_address(one), 5) for one in expected] == [b"Tides", b"Moon"]


def test_a_key_is_taken_literally(bucket: Any) -> None:
    for key in ("docs/100%25 *.md", "docs/a?b#c.md", "docs/é.md"):
        bucket.pipe_file(f"library/{key}", key.encode())
    listed = _listed("s3://library/docs/") or []
    assert sorted(listed) == sorted(f"s3://library/docs/{name}" for name in ("100%25 *.md", "a?b#c.md", "é.md"))
    assert all(read_object(parse_store_address(one), 99).decode() in one for one in listed)


def test_an_object_over_the_limit_is_refused(bucket: Any) -> None:
    bucket.pipe("library/large.md", b"x" * 9_000_000)
    address = parse_store_address("s3://library/large.md")
    assert len(read_object(address, 9_000_000)) == 9_000_000
    with pytest.raises(StoreRefused) as refused:
        read_object(address, 8_999_999)
    assert refused.value.reason == "too_large"


@pytest.mark.parametrize(
    "address", ["s3://library/none.md", "s3://library/none/", "s3://elsewhere/a.md", "s3://elsewhere/"]
)
def test_what_is_not_there_is_missing(bucket: Any, address: str) -> None:
    with pytest.raises(StoreRefused) as refused:
        _listed(address)
    assert refused.value.reason == "missing"


def test_no_credentials_are_a_reason(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoreRefused) as refused:
        _listed("s3://library/")
    assert refused.value.reason == "permission"


def test_nobody_listens_at_the_endpoint(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:secret@127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StoreRefused) as refused:
        _listed("s3://library/")
    assert refused.value.reason == "unreachable"
    assert "secret" not in refused.value.message
