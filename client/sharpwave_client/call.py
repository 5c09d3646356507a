"""A request described once, and sent by either client.

``calls`` holds functions that return a ``Call``. As a ``Method`` of a class such a function sends what it describes:
``Client`` gives the result, ``AsyncClient`` an awaitable of it, and both keep its signature.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field, replace
from functools import update_wrapper
from pathlib import Path
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeAlias, TypeVar, overload
from urllib.parse import quote
from uuid import uuid4

import httpx
from pydantic import TypeAdapter, ValidationError

from sharpwave_client.errors import UnexpectedAnswer
from sharpwave_client.events import answer_event, cut_short
from sharpwave_client.models import Answer, AnswerEvent, Page

T = TypeVar("T")
P = ParamSpec("P")

Upload: TypeAlias = str | Path | tuple[str, bytes]
"""A file to send: its path, or a name with the bytes."""


@dataclass(frozen=True, kw_only=True)
class Call(Generic[T]):
    """One request, and how its answer is read.

    ``route`` is the path with its names in braces, ``path`` what stands for them. ``repeatable`` says that to send it
    twice does no more than once. ``slow`` waits for a language model.
    """

    method: str
    route: str
    read: Callable[[httpx.Response], T]
    path: Mapping[str, object] = field(default_factory=dict)
    params: Mapping[str, object] = field(default_factory=dict)
    body: Any = None
    form: Mapping[str, object] = field(default_factory=dict)
    uploads: Sequence[Upload] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    slow: bool = False

    @property
    def url(self) -> str:
        """The path, with whatever a name holds percent-encoded."""
        return self.route.format(**{name: _quoted(str(value)) for name, value in self.path.items()})

    def request(self, stack: ExitStack) -> dict[str, Any]:
        """Return what httpx builds the request from; files stay open until ``stack`` is closed."""
        asked: dict[str, Any] = {
            "method": self.method,
            "url": self.url,
            "params": {name: _as_text(value) for name, value in self.params.items() if value is not None},
            "headers": dict(self.headers),
        }
        if self.body is not None:
            asked["json"] = self.body
        if self.uploads:
            asked["data"] = {name: value for name, value in self.form.items() if value is not None}
            asked["files"] = [("files", _opened(one, stack)) for one in self.uploads]
        return asked


def write_key() -> dict[str, str]:
    """Return the header under which the service makes a write once, however often it is sent."""
    return {"Idempotency-Key": uuid4().hex}


def into(kind: type[T]) -> Callable[[httpx.Response], T]:
    """Return a reader of a whole answer."""
    return _reader(TypeAdapter(kind))


def nothing(_response: httpx.Response) -> None:
    """Read an answer without content."""


def listed(kind: type[T], name: str) -> Callable[[httpx.Response], list[T]]:
    """Return a reader of an answer that holds a list under ``name``."""
    read = _reader(TypeAdapter(dict[str, Any]))
    items: TypeAdapter[list[T]] = TypeAdapter(list[kind])  # type: ignore[valid-type]
    return lambda response: _checked(lambda: items.validate_python(read(response).get(name)))


def paged(kind: type[T], name: str) -> Callable[[httpx.Response], Page[T]]:
    """Return a reader of a page of what stands under ``name``."""
    read, items = _reader(TypeAdapter(dict[str, Any])), listed(kind, name)
    return lambda response: Page(items=tuple(items(response)), next_cursor=read(response).get("next_cursor"))


class Sender(Protocol):
    """What sends calls and waits."""

    def send(self, call: Call[T]) -> T: ...


class AsyncSender(Protocol):
    """What sends calls and lets others work meanwhile."""

    async def send(self, call: Call[T]) -> T: ...


class Method(Generic[P, T]):
    """A function that describes a call, as a method that sends it."""

    def __init__(self, describe: Callable[P, Call[T]]) -> None:
        self.describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Sender, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncSender, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        if client is None:
            return self

        def send(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.send(self.describe(*args, **kwargs))

        return update_wrapper(send, self.describe)


class Paged(Generic[P, T]):
    """A function that describes a page, as a method that goes through all pages, item by item."""

    def __init__(self, describe: Callable[P, Call[Page[T]]]) -> None:
        self.describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Sender, owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, client: AsyncSender, owner: type) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        if client is None:
            return self
        describe = self.describe

        def walk(*args: Any, **kwargs: Any) -> Iterator[T]:
            while True:
                page: Page[T] = client.send(describe(*args, **kwargs))
                yield from page.items
                if page.next_cursor is None:
                    return
                kwargs["cursor"] = page.next_cursor

        async def walk_async(*args: Any, **kwargs: Any) -> AsyncIterator[T]:
            while True:
                page: Page[T] = await client.send(describe(*args, **kwargs))
                for item in page.items:
                    yield item
                if page.next_cursor is None:
                    return
                kwargs["cursor"] = page.next_cursor

        return update_wrapper(walk_async if client.is_async else walk, describe)


class Streamed(Generic[P]):
    """A function that describes a question, as a method that yields the events of its answer."""

    def __init__(self, describe: Callable[P, Call[Answer]]) -> None:
        self.describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Sender, owner: type) -> Callable[P, Iterator[AnswerEvent]]: ...
    @overload
    def __get__(self, client: AsyncSender, owner: type) -> Callable[P, AsyncIterator[AnswerEvent]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        if client is None:
            return self
        describe = self.describe

        def follow(*args: Any, **kwargs: Any) -> Iterator[AnswerEvent]:
            for event in client.stream(_streaming(describe(*args, **kwargs))):
                told = answer_event(event)
                if told is not None:
                    yield told
                if event.name == "done":
                    return
            raise cut_short("the answer")

        async def follow_async(*args: Any, **kwargs: Any) -> AsyncIterator[AnswerEvent]:
            async with aclosing(client.stream(_streaming(describe(*args, **kwargs)))) as events:
                async for event in events:
                    told = answer_event(event)
                    if told is not None:
                        yield told
                    if event.name == "done":
                        return
            raise cut_short("the answer")

        return update_wrapper(follow_async if client.is_async else follow, describe)


def _streaming(call: Call[Answer]) -> Call[Answer]:
    return replace(call, body={**call.body, "stream": True})


def _reader(adapter: TypeAdapter[T]) -> Callable[[httpx.Response], T]:
    return lambda response: _checked(lambda: adapter.validate_json(response.content))


def _checked(read: Callable[[], T]) -> T:
    try:
        return read()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UnexpectedAnswer(f"this is no answer of the service: {where or 'the body'}: {first['msg']}") from error


def _quoted(name: str) -> str:
    quoted = quote(name, safe="")
    # As they are, these two would be steps in the path.
    return quoted.replace(".", "%2E") if quoted in (".", "..") else quoted


def _as_text(value: object) -> str | list[str]:
    if isinstance(value, list):  # the name comes once for each
        return [str(one) for one in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _opened(upload: Upload, stack: ExitStack) -> tuple[str, Any]:
    if isinstance(upload, tuple):
        return upload
    path = Path(upload)
    return path.name, stack.enter_context(path.open("rb"))
