"""Documents from elsewhere: web pages, and objects in stores, as items of a job.

Whoever submits an address is told at once where it is malformed or not allowed; the worker checks again, by its own
settings, when the item's turn comes, and only then is anything looked up or read. A prefix of a store becomes one item
for each object in it, in the worker too: that side holds the credentials, may take its time, and does it once, so that
a job that is killed does not read again what it has learned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from ingest import stores
from ingest.content_types import choose_suffix, to_utf8
from ingest.fetching import FetchParams, FetchRefused, check_allowed, fetch
from ingest.file_reader import FileReader
from ingest.stores import StoreAddress, StoreRefused, StoreRule, parse_store_address
from ingest.web_addresses import WebAddress, is_web_address, parse_web_address
from memory_graph.database import Database
from memory_graph.errors import InvalidInput, QuotaSpent, UnreadableDocument
from memory_graph.store.jobs import Item, NewItem, replace_item
from memory_graph.store.spending import payer_of, take_bytes
from memory_graph.types import Document

WEB, STORE = "url", "store"
KINDS = (WEB, STORE)

Address = WebAddress | StoreAddress


@dataclass(frozen=True, kw_only=True)
class SourceParams:
    """What may be read from elsewhere, nothing unless said; ``max_listed`` bounds the objects of one prefix."""

    fetch: FetchParams = field(default_factory=FetchParams)
    stores: tuple[StoreRule, ...] = ()
    max_listed: int = 100_000


def is_address(text: str) -> bool:
    """Say whether a text is meant as the address of a source and not as a path."""
    return is_web_address(text) or stores.is_store_address(text)


def parse_address(text: str, params: SourceParams, field: str) -> Address:
    """Read an address that is allowed. Errors: ``InvalidInput`` for any other."""
    address: Address = parse_web_address(text, field) if is_web_address(text) else parse_store_address(text, field)
    try:
        _check(address, params)
    except (FetchRefused, StoreRefused) as error:
        raise InvalidInput(field, error.message) from None
    return address


def address_items(addresses: Iterable[Address]) -> list[NewItem]:
    """Return job items for addresses; they are fetched when their turn comes."""
    return [
        NewItem(kind=WEB if isinstance(one, WebAddress) else STORE, name=str(one), size=0, payload={"url": str(one)})
        for one in addresses
    ]


class Sources:
    """Reads the items that are addresses."""

    def __init__(self, database: Database, params: SourceParams | None = None) -> None:
        self._database = database
        self._params = params or SourceParams()

    def read(self, item: Item, reader: FileReader) -> Iterator[Document | UnreadableDocument]:
        """Yield an item's documents, or why there are none; a prefix gives way to items for its objects."""
        try:
            url = str((item.payload or {}).get("url"))
            if item.kind == WEB:
                yield from self._read_page(item, parse_web_address(url), reader)
            else:
                yield from self._read_store(item, parse_store_address(url), reader)
        except InvalidInput as error:
            yield UnreadableDocument(item.name, "invalid", error.message)
        except (FetchRefused, StoreRefused) as error:
            yield UnreadableDocument(item.name, error.reason, error.message)
        except UnreadableDocument as error:
            yield error

    def _read_page(
        self, item: Item, address: WebAddress, reader: FileReader
    ) -> Iterator[Document | UnreadableDocument]:
        name = item.name
        found = fetch(address, self._params.fetch, reader.limits.max_file_bytes)
        self._charge(item, len(found.data))
        file_name = found.address.file_name
        suffix = choose_suffix(name, found.content_type, file_name)
        data = to_utf8(name, found.data, found.content_type, suffix)
        return _read_as(name, file_name or found.address.host, suffix, data, reader)

    def _read_store(
        self, item: Item, address: StoreAddress, reader: FileReader
    ) -> Iterator[Document | UnreadableDocument]:
        stores.check_allowed(address, self._params.stores)
        found = stores.list_objects(address, self._params.max_listed)
        if found is None:
            suffix = choose_suffix(item.name, "", address.file_name)
            data = stores.read_object(address, reader.limits.max_file_bytes)
            self._charge(item, len(data))
            return _read_as(item.name, address.file_name, suffix, data, reader)
        if not found:
            raise StoreRefused("missing", "nothing is there that can be read: no object of a known format.")
        new = address_items(one for one, _ in found)
        new = [replace(one, size=size) for one, (_, size) in zip(new, found, strict=True)]
        with self._database.write() as connection:
            replace_item(connection, item.id, new)
        return iter(())

    def _charge(self, item: Item, size: int) -> None:
        """Count what was fetched for the key that asked for it. Errors: ``UnreadableDocument`` where it is too much."""
        with self._database.read() as connection:
            key_id = payer_of(connection, item.id)
        if key_id is None:
            return
        try:
            with self._database.write() as connection:
                take_bytes(connection, key_id, size, "url")
        except (QuotaSpent, InvalidInput) as error:
            raise UnreadableDocument(item.name, "quota_spent", error.message) from None


def _check(address: Address, params: SourceParams) -> None:
    if isinstance(address, WebAddress):
        check_allowed(address, params.fetch.hosts)
    else:
        stores.check_allowed(address, params.stores)


def _read_as(
    name: str, file_name: str, suffix: str, data: bytes, reader: FileReader
) -> Iterator[Document | UnreadableDocument]:
    """Read bytes by the readers of files; what they call by a file's name is called by the address."""
    short = file_name if PurePosixPath(file_name).suffix.lower() == suffix else f"{file_name}{suffix}"
    for one in reader.read_bytes(short, data, id=name):
        if isinstance(one, UnreadableDocument):
            yield UnreadableDocument(name + one.name.removeprefix(short), one.reason, one.detail)
        else:
            yield replace(one, source=name) if one.source == short else one
