"""Objects in stores: what is allowed, what is listed, what is read, and what is said when it cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from ingest.stores import (
    NEVER,
    StoreRefused,
    check_allowed,
    is_store_address,
    list_objects,
    parse_store_address,
    parse_store_rules,
    read_object,
)
from memory_graph.errors import InvalidInput


@pytest.fixture
def store() -> Iterator[Any]:
    files = fsspec.filesystem("memory")
    MemoryFileSystem.store.clear()
    yield files
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def _listed(address: str, limit: int = 100) -> list[str] | None:
    found = list_objects(parse_store_address(address), limit)
    return None if found is None else [str(one) for one, _ in found]


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("S3://Bucket/A key.md", "s3://Bucket/A key.md"),
        ("s3://bucket", "s3://bucket/"),
        ("s3://my.bucket-1/a//b?c#d", "s3://my.bucket-1/a//b?c#d"),
    ],
)
def test_an_address_is_taken_literally(given: str, written: str) -> None:
    assert str(parse_store_address(given)) == written
    assert str(parse_store_address(written)) == written


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("simplecache::s3://bucket/a.md", "chained"),
        ("simplecache::file:///etc/passwd", "chained"),
        ("zip://a.md::s3://bucket/a.zip", "chained"),
        ("s3://bucket/a.md::file:///etc/passwd", "chained"),
        ("s3://KEY:secret@bucket/a", "name of a bucket"),
        ("s3://secret@bucket/a", "name of a bucket"),
        ("s3:///etc/passwd", "name of a bucket"),
        ("s3://../a", "name of a bucket"),
        ("s3://bucket/../other/a", "no parts"),
        ("s3://bucket/a/..", "no parts"),
        ("s3://bucket/./a", "no parts"),
        ("s3://bucket/a\\b", "backslashes"),
        ("s3://bucket/a\nb", "backslashes"),
        ("s3:bucket/a", "no address"),
        ("FILE:///etc/passwd", "never read from"),
        ("zip://a/b", "never read from"),
        ("s3://bucket/" + "a" * 2000, "2,000 characters"),
    ],
)
def test_other_addresses_are_refused_with_the_reason(given: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as refused:
        parse_store_address(given, "urls.0")
    assert refused.value.field == "urls.0"
    assert "secret" not in refused.value.message


def test_what_has_a_protocol_or_a_chain_is_meant_as_an_address() -> None:
    assert is_store_address("s3://bucket")
    assert is_store_address("file:///etc")
    assert is_store_address("simplecache::file:///etc")
    assert not is_store_address("docs/s3://bucket")
    assert not is_store_address("docs/a::b")


@pytest.mark.parametrize(
    ("rules", "address", "allowed"),
    [
        ("", "s3://bucket/a", False),
        ("s3", "s3://bucket/a", True),
        ("s3", "gs://bucket/a", False),
        ("gs, s3", "s3://bucket/a", True),
        ("s3://bucket", "s3://bucket/a", True),
        ("s3://bucket", "s3://bucket2/a", False),
        ("s3://bucket/public/", "s3://bucket/public/a", True),
        ("s3://bucket/public/", "s3://bucket/public2/a", False),
        ("s3://bucket/public/", "s3://bucket/public", False),
        ("s3://bucket/public/", "s3://bucket/", False),
        ("s3", "memory://bucket/a", False),
    ],
)
def test_an_entry_of_the_list_allows_what_it_says(rules: str, address: str, allowed: bool) -> None:
    given = parse_store_address(address), parse_store_rules(rules, "SETTING")
    if allowed:
        check_allowed(*given)
    else:
        with pytest.raises(StoreRefused, match="SHARPWAVE_STORES") as refused:
            check_allowed(*given)
        assert refused.value.reason == "not_allowed"


@pytest.mark.parametrize("protocol", [*sorted(NEVER), "FILE", "file:///srv", "zip://a"])
def test_some_protocols_cannot_be_allowed(protocol: str) -> None:
    with pytest.raises(InvalidInput, match=r"SETTING: .* cannot be allowed"):
        parse_store_rules(f"s3, {protocol}", "SETTING")


@pytest.mark.parametrize("rules", ["*", "s3://", "s3://a b", "s3://bucket/../x", "simplecache::s3"])
def test_a_list_that_says_something_else_is_refused(rules: str) -> None:
    with pytest.raises(InvalidInput, match="SETTING"):
        parse_store_rules(rules, "SETTING")


def test_a_prefix_is_listed_in_order_without_hidden_names_and_other_suffixes(store: Any) -> None:
    for key in ("b.md", "a/z.txt", "a/y/x.PDF", "c.png", ".hidden.md", ".git/a.md", "a/.x/b.md", "other"):
        store.pipe(f"/library/docs/{key}", b"x")
    store.pipe("/library/docs2/a.md", b"x")
    store.pipe("/library2/docs/a.md", b"x")
    found = [f"memory://library/docs/{key}" for key in ("a/y/x.PDF", "a/z.txt", "b.md")]
    assert _listed("memory://library/docs/") == found
    assert _listed("memory://library/docs") == found
    assert _listed("memory://library") == [*found, "memory://library/docs2/a.md"]


def test_a_listing_tells_the_sizes(store: Any) -> None:
    store.pipe("/library/a.md", b"12345")
    assert [size for _, size in list_objects(parse_store_address("memory://library/"), 10) or []] == [5]


def test_an_object_is_no_listing(store: Any) -> None:
    store.pipe("/library/a.md", b"x")
    assert _listed("memory://library/a.md") is None


def test_a_listing_is_bounded(store: Any) -> None:
    for n in range(5):
        store.pipe(f"/library/{n}.md", b"x")
    assert len(_listed("memory://library/", limit=6) or []) == 5
    with pytest.raises(StoreRefused, match="more than 5") as refused:
        _listed("memory://library/", limit=5)
    assert refused.value.reason == "too_large"


def test_what_is_not_there_is_missing(store: Any) -> None:
    for address in ("memory://library/a.md", "memory://library/docs/"):
        with pytest.raises(StoreRefused) as refused:
            _listed(address)
        assert refused.value.reason == "missing"


def test_an_object_is_read_up_to_the_limit(store: Any) -> None:
    store.pipe("/library/a.md", b"12345")
    address = parse_store_address("memory://library/a.md")
    assert read_object(address, 5) == b"12345"
    with pytest.raises(StoreRefused, match="SHARPWAVE_MAX_FILE_MB") as refused:
        read_object(address, 4)
    assert refused.value.reason == "too_large"


FAULTS = {
    "locked": PermissionError("arn:aws:iam::123:user/secret"),
    "broken": OSError("http://key:secret@endpoint"),
    "late": TimeoutError("secret"),
    "odd": ValueError("secret"),
}


class FailingFileSystem(MemoryFileSystem):
    """Raises what its container is called."""

    protocol = "failing"

    def info(self, path: str, *_: Any, **__: Any) -> Any:
        raise FAULTS[path.partition("/")[0]]

    ls = open = info


@pytest.mark.parametrize(
    ("container", "reason"),
    [("locked", "permission"), ("broken", "unreachable"), ("late", "unreachable"), ("odd", "unreachable")],
)
def test_what_a_store_raises_gets_a_reason_and_its_words_are_not_told(container: str, reason: str) -> None:
    fsspec.register_implementation("failing", FailingFileSystem, clobber=True)
    address = parse_store_address(f"failing://{container}/a.md")
    for call in (lambda: list_objects(address, 10), lambda: read_object(address, 10)):
        with pytest.raises(StoreRefused) as refused:
            call()
        assert refused.value.reason == reason
        assert "secret" not in refused.value.message


def test_a_folder_that_cannot_be_listed_is_not_passed_over(store: Any) -> None:
    class Locked(MemoryFileSystem):
        protocol = "locked"

        def ls(self, path: str, detail: bool = True, **_: Any) -> Any:
            if path.endswith("inner"):
                raise PermissionError(path)
            return super().ls(path, detail=detail)

        @classmethod
        def _strip_protocol(cls, path: Any) -> Any:
            return super()._strip_protocol(str(path).removeprefix("locked://"))

    fsspec.register_implementation("locked", Locked, clobber=True)
    store.pipe("/library/a.md", b"x")
    store.pipe("/library/inner/b.md", b"x")
    with pytest.raises(StoreRefused) as refused:
        _listed("locked://library/")
    assert refused.value.reason == "permission"


@pytest.mark.parametrize("protocol", ["unknown", "s3"])
def test_a_package_that_is_missing_is_named(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "s3fs", None)  # as if it were not installed
    with pytest.raises(StoreRefused) as refused:
        list_objects(parse_store_address(f"{protocol}://bucket/"), 10)
    assert refused.value.reason == "unsupported"
    if protocol == "s3":
        assert "pip install 'sharpwave[s3]'" in refused.value.message
