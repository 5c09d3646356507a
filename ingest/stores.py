"""Documents in object stores, by fsspec, where the operator allowed the store.

Only this installation's environment says how a store is reached and with which credentials (for S3 ``AWS_*``): nothing
of that stands in an address, a job or a message. An address is taken literally, with no wild cards, no parameters and
no chains of file systems.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import PurePosixPath
from typing import Any

from ingest.files import SUFFIXES
from memory_graph.errors import InvalidInput

MAX_CHARS = 2_000
MAX_NAMED = 200
PIECE_BYTES = 4 << 20
# Packages that a protocol needs, and our extra that brings them.
EXTRAS = {"s3": "s3", "s3a": "s3"}
# Never allowed, whatever a setting says: this machine's own files, which no request may open; the web, which has checks
# of its own; and file systems that reach through to another one.
_LOCAL = "files of this machine are given by path"
_WEB = "web pages are allowed by SHARPWAVE_URL_HOSTS"
_THROUGH = "it reads through another file system"
NEVER = {
    **dict.fromkeys(("file", "local", "asynclocal"), _LOCAL),
    **dict.fromkeys(("http", "https"), _WEB),
    **dict.fromkeys(("async_wrapper", "asyncwrapper", "blockcache", "cached", "dask", "data", "dir"), _THROUGH),
    **dict.fromkeys(("filecache", "generic", "git", "libarchive", "pyscript", "reference", "root"), _THROUGH),
    **dict.fromkeys(("simplecache", "tar", "zip"), _THROUGH),
}

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.IGNORECASE | re.DOTALL)
_UNWANTED = re.compile(r"[\x00-\x1f\x7f-\x9f\\\u2028\u2029\ud800-\udfff]")
_CONTAINER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
# Errors of the stores' own libraries that are no OSError: module and names.
_S3_ERRORS = (
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("aiohttp", "ClientError"),
)
_ERRORS = {"s3": _S3_ERRORS, "s3a": _S3_ERRORS}
_WITHOUT_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError")


class StoreRefused(Exception):
    """Something in a store cannot be had: why, in a word and in a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, kw_only=True)
class StoreAddress:
    """An object or, where ``key`` is empty or ends in a slash, all that begins with it."""

    protocol: str
    container: str
    key: str

    @property
    def is_prefix(self) -> bool:
        """Whether it can only stand for all that begins with it."""
        return not self.key or self.key.endswith("/")

    @property
    def file_name(self) -> str:
        """The last part of the key."""
        return PurePosixPath(self.key).name

    def __str__(self) -> str:
        return f"{self.protocol}://{self.container}/{self.key}"


@dataclass(frozen=True, kw_only=True)
class StoreRule:
    """One entry of the list of stores: a protocol, narrowed to a bucket and to keys that begin in one way."""

    protocol: str
    container: str = ""
    prefix: str = ""

    def allows(self, address: StoreAddress) -> bool:
        """Say whether an address is one of those that the entry stands for."""
        return (
            self.protocol == address.protocol
            and self.container in ("", address.container)
            and address.key.startswith(self.prefix)
        )


def is_store_address(text: str) -> bool:
    """Say whether a text is meant as the address of something in a store."""
    return _ADDRESS.match(text) is not None or "::" in text.partition("/")[0]


def parse_store_address(text: str, field: str = "url") -> StoreAddress:
    """Read an address literally. Errors: ``InvalidInput``."""
    if len(text) > MAX_CHARS:
        raise InvalidInput(field, f"an address may have {MAX_CHARS:,} characters; this one has {len(text):,}")
    if "::" in text:
        raise InvalidInput(field, "file systems are not chained with '::'")
    if _UNWANTED.search(text):
        raise InvalidInput(field, "an address holds no backslashes or control characters")
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise InvalidInput(field, f"{text[:200]!r} is no address like s3://bucket/key")
    protocol = found[1].lower()
    if protocol in NEVER:
        raise InvalidInput(field, f"{protocol}:// is never read from: {NEVER[protocol]}")
    container, _, key = found[2].partition("/")
    if _CONTAINER.fullmatch(container) is None:
        # Not repeated: what stands before an @ may be a secret.
        raise InvalidInput(field, "after :// stands the name of a bucket, of letters, digits, hyphens and dots")
    if any(segment in (".", "..") for segment in key.split("/")):
        raise InvalidInput(field, "a key has no parts '.' or '..'")
    return StoreAddress(protocol=protocol, container=container, key=key)


def parse_store_rules(text: str, field: str) -> tuple[StoreRule, ...]:
    """Read a list such as ``s3://library/public/, gs``. Errors: ``InvalidInput``."""
    return tuple(_parse_rule(entry, field) for entry in (one.strip() for one in text.split(",")) if entry)


def check_allowed(address: StoreAddress, rules: Iterable[StoreRule]) -> None:
    """Refuse an address that is not on the list. Errors: ``StoreRefused``."""
    rules = list(rules)
    if not any(rule.allows(address) for rule in rules):
        empty = "" if rules else ", which is empty"
        place = str(address)[:MAX_NAMED]
        raise StoreRefused("not_allowed", f"{place} is not on the list of allowed stores (SHARPWAVE_STORES){empty}.")


def list_objects(address: StoreAddress, limit: int) -> list[tuple[StoreAddress, int]] | None:
    """Return the objects under an address with their sizes, in the order of their names; None where it is an object.

    As in folders of this machine, hidden names and unknown suffixes are passed over. Errors: ``StoreRefused``, also
    where there are more than ``limit``.
    """
    with _named_failures(address):
        files = _open_store(address)
        start = f"{address.container}/{address.key}".rstrip("/")
        if not address.is_prefix and files.info(start)["type"] != "directory":
            return None
        found: dict[str, int] = {}
        waiting, walked = [start], {start}
        while waiting:
            # Not fsspec's own walk, which passes over folders that it cannot list.
            for entry in files.ls(waiting.pop(), detail=True):
                path = str(entry["name"]).strip("/")
                if path.rpartition("/")[2].startswith(".") or not path.startswith(f"{start}/"):
                    continue
                if entry["type"] == "directory" and path not in walked:
                    walked.add(path)
                    waiting.append(path)
                elif entry["type"] == "file" and PurePosixPath(path).suffix.lower() in SUFFIXES:
                    found[path.removeprefix(f"{address.container}/")] = int(entry.get("size") or 0)
                if len(found) + len(walked) > limit:
                    raise StoreRefused("too_large", f"there are more than {limit:,} objects; name parts of it.")
    return [
        (StoreAddress(protocol=address.protocol, container=address.container, key=key), size)
        for key, size in sorted(found.items())
    ]


def read_object(address: StoreAddress, max_bytes: int) -> bytes:
    """Return an object's bytes. Errors: ``StoreRefused``, also where there are more than ``max_bytes``."""
    with _named_failures(address):
        files = _open_store(address)
        data = bytearray()
        with files.open(f"{address.container}/{address.key}", "rb", cache_type="none") as file:
            while piece := file.read(min(PIECE_BYTES, max_bytes + 1 - len(data))):
                data += piece
                if len(data) > max_bytes:
                    size = f"{max_bytes / 2**20:,.0f} MB"
                    raise StoreRefused("too_large", f"it has more than {size} (SHARPWAVE_MAX_FILE_MB).")
    return bytes(data)


def _open_store(address: StoreAddress) -> Any:
    """Return the file system of a store, as the environment configures it and without what it remembers."""
    import fsspec.core  # imported late: most installations read from no store

    try:
        files, _ = fsspec.core.url_to_fs(str(address), skip_instance_cache=True, use_listings_cache=False)
    except ImportError:
        extra = EXTRAS.get(address.protocol)
        hint = f": pip install 'sharpwave[{extra}]'" if extra else " by fsspec's documentation"
        raise StoreRefused("unsupported", f"stores of {address.protocol}:// need a package{hint}.") from None
    except ValueError:
        raise StoreRefused("unsupported", f"nothing is known that reads {address.protocol}://.") from None
    return files


@contextmanager
def _named_failures(address: StoreAddress) -> Iterator[None]:
    """Turn what a store raises into a reason. Its own words are left out: they may name endpoints and keys."""
    try:
        yield
    except FileNotFoundError:
        raise StoreRefused("missing", "there is no such object or bucket.") from None
    except PermissionError:
        raise StoreRefused("permission", "the store does not let this installation read it.") from None
    except _errors_of(address.protocol) as error:
        kind = type(error).__name__
        if kind in _WITHOUT_CREDENTIALS:
            message = "the worker's environment holds no credentials for the store."
            raise StoreRefused("permission", message) from None
        raise StoreRefused("unreachable", f"the store cannot be read from ({kind}).") from None


def _errors_of(protocol: str) -> tuple[type[Exception], ...]:
    """Return what a store's library raises, where it is installed: without it the store cannot be opened at all."""
    own = []
    for module, name in _ERRORS.get(protocol, ()):
        if find_spec(module.partition(".")[0]) is not None:
            own.append(getattr(import_module(module), name))
    return (OSError, ValueError, *own)


def _parse_rule(entry: str, field: str) -> StoreRule:
    protocol, separator, _ = entry.partition("://")
    protocol = protocol.lower()
    if protocol in NEVER:
        raise InvalidInput(field, f"{protocol} cannot be allowed: {NEVER[protocol]}")
    try:
        address = parse_store_address(entry if separator else f"{protocol}://any/", field)
    except InvalidInput:
        raise InvalidInput(field, f"must be like s3, s3://bucket or s3://bucket/prefix/; {entry!r} is none") from None
    if not separator:
        return StoreRule(protocol=address.protocol)
    return StoreRule(protocol=address.protocol, container=address.container, prefix=address.key)
