"""The language model behind one protocol, and its client for any server that speaks the OpenAI API (vLLM is a URL).

``retrieval/embedded.py`` runs a GGUF model inside this process and talks to it through the same client.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from memory_graph.errors import GeneratorError, GeneratorOutputInvalid, GeneratorTimeout, GeneratorUnavailable
from memory_graph.types import Usage

_TOP_LOGPROBS = 20  # what the API allows

Message = Mapping[str, str]  # {"role": "system" | "user" | "assistant", "content": text}


@dataclass(frozen=True, kw_only=True)
class Completion:
    """One finished reply; ``finish_reason`` is ``stop``, or ``length`` when the token limit cut it."""

    text: str
    usage: Usage
    finish_reason: str


@dataclass(frozen=True, kw_only=True)
class Delta:
    """A piece of a streamed reply; only the last one carries ``usage`` and ``finish_reason``."""

    text: str = ""
    usage: Usage | None = None
    finish_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """How probable each label is as the beginning of a reply; the probabilities of all labels sum to 1."""

    probabilities: Mapping[str, float]
    usage: Usage


@dataclass(frozen=True, kw_only=True)
class GeneratorState:
    """What a probe of the generator found; ``reason`` says why it is not reachable."""

    name: str
    reachable: bool
    reason: str | None = None


class Generator(Protocol):
    """Anything that continues a conversation.

    ``context_tokens`` is the size of its context (prompt and reply together). One generator serves one event loop.
    Calls raise ``GeneratorUnavailable``, ``GeneratorTimeout`` or ``GeneratorOutputInvalid``, and nothing else. Close a
    stream that is not read to its end (``contextlib.aclosing``): the server goes on writing otherwise.
    """

    name: str
    context_tokens: int

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> Completion: ...

    async def weigh(self, messages: Sequence[Message], labels: Sequence[str]) -> Weighed: ...

    def stream(
        self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None, max_tokens: int
    ) -> AsyncGenerator[Delta, None]: ...

    async def count_tokens(self, texts: Sequence[str]) -> list[int]: ...

    async def check(self) -> GeneratorState: ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class ClientParams:
    """How patiently a server is asked."""

    connect_timeout_s: float = 3.0
    """Longest wait for a connection."""
    total_timeout_s: float = 60.0
    """Longest time for one call, retries and all pieces of a stream included."""
    idle_timeout_s: float = 45.0
    """Longest silence within a stream; the first piece waits for the whole prompt to be read."""
    probe_timeout_s: float = 5.0
    """Longest time for a question about the server itself (models, token counts)."""
    retries: int = 1
    """How often a refused connection or a 429 or 5xx status is tried again."""
    context_tokens: int = 8192
    """Context assumed where the server does not tell."""
    trust_env: bool = True
    """Whether proxies named in the environment are used."""


def estimate_tokens(text: str) -> int:
    """Estimate a text's tokens, rather too many than too few: a third of its UTF-8 bytes."""
    return -(-len(text.encode("utf-8", "replace")) // 3)


def conceal_credentials(url: str) -> str:
    """Return ``url`` without user name, password and query: fit to be shown."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class OpenAIGenerator:
    """A client of one model on a server that speaks the OpenAI API; with no ``model`` it takes the first one listed."""

    def __init__(self, url: str, model: str = "", api_key: str = "", *, params: ClientParams | None = None) -> None:
        import openai  # imported late: it takes most of a second, and most commands generate nothing

        self.params = params or ClientParams()
        self.name = model
        self.context_tokens = self.params.context_tokens
        self._shown_url = conceal_credentials(url)
        self._key = api_key
        self._described = False
        self._tokenizes = True
        parts = urlsplit(url.rstrip("/"))
        # Servers offer their tokenizer beside the OpenAI routes, not among them.
        self._tokenize_url = urlunsplit(parts._replace(path=parts.path.removesuffix("/v1") + "/tokenize"))
        timeout = openai.Timeout(self.params.total_timeout_s, connect=self.params.connect_timeout_s)
        self._client = openai.AsyncOpenAI(
            base_url=url,
            api_key=api_key or "none",
            timeout=timeout,
            max_retries=self.params.retries,
            http_client=openai.DefaultAsyncHttpxClient(trust_env=self.params.trust_env, timeout=timeout),
        )
        # The library reads these from its own environment variables; they are no part of our settings.
        self._client.organization = self._client.project = None

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> Completion:
        """Return the whole reply; a reply under a ``schema`` that the token limit cut is invalid.

        Above a ``temperature`` of 0 replies are drawn, each ``seed`` another one.
        """
        drawn = {"temperature": temperature} | ({} if seed is None else {"seed": seed})
        with self._named_errors():
            async with asyncio.timeout(self.params.total_timeout_s):
                await self._describe()
                request = self._request(messages, schema, max_tokens) | drawn
                reply = await self._client.chat.completions.create(**request, stream=False)
        choice, text = _read_choice(reply, "message")
        if choice is None:
            raise GeneratorOutputInvalid(f"the server at {self._shown_url} sent no choices")
        reason = str(choice.finish_reason or "stop")
        _require_whole(reason, schema)
        return Completion(text=text, usage=_read_usage(reply), finish_reason=reason)

    async def weigh(self, messages: Sequence[Message], labels: Sequence[str]) -> Weighed:
        """Return how probable each label is as the reply, from the log-probabilities of its first token.

        Labels must differ in how they begin. A token counts for the label that it begins; those that begin none, or
        several, count for nothing. Errors: ``GeneratorOutputInvalid`` where the server gives no log-probabilities, or
        none of a label.
        """
        with self._named_errors():
            async with asyncio.timeout(self.params.total_timeout_s):
                await self._describe()
                request = self._request(messages, None, 1) | {"logprobs": True, "top_logprobs": _TOP_LOGPROBS}
                reply = await self._client.chat.completions.create(**request, stream=False)
        choice, _ = _read_choice(reply, "message")
        masses = _weigh_labels(_read_first_token(choice), labels)
        total = sum(masses.values())
        if total <= 0.0:
            raise GeneratorOutputInvalid(f"the server at {self._shown_url} gave no probability of {', '.join(labels)}")
        return Weighed(probabilities={label: mass / total for label, mass in masses.items()}, usage=_read_usage(reply))

    async def stream(
        self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None, max_tokens: int
    ) -> AsyncGenerator[Delta, None]:
        """Yield the reply piece by piece; a stream that breaks off or falls silent raises."""
        import openai

        usage, reason = Usage(calls=1), None
        deadline = asyncio.get_running_loop().time() + self.params.total_timeout_s
        with self._named_errors():
            async with asyncio.timeout_at(self._next_deadline(deadline)):
                await self._describe()
                chunks = await self._client.chat.completions.create(
                    **self._request(messages, schema, max_tokens), stream=True, stream_options={"include_usage": True}
                )
        if not isinstance(chunks, openai.AsyncStream):
            raise GeneratorOutputInvalid(f"the server at {self._shown_url} did not stream")
        try:
            while True:
                with self._named_errors():
                    # The time-out is around one piece: around the loop it would fire inside the consumer's code.
                    async with asyncio.timeout_at(self._next_deadline(deadline)):
                        chunk = await anext(chunks, None)
                if chunk is None:
                    break
                choice, text = _read_choice(chunk, "delta")
                if text:
                    yield Delta(text=text)
                if choice is not None and choice.finish_reason:
                    reason = str(choice.finish_reason)
                usage = _read_usage(chunk, usage)
        finally:
            await chunks.close()
        if reason is None:
            raise GeneratorUnavailable(f"the stream from {self._shown_url} ended before the reply did")
        _require_whole(reason, schema)
        yield Delta(usage=usage, finish_reason=reason)

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count with the server's own tokenizer where it has one (llama.cpp, vLLM), else estimate."""
        import openai

        with self._named_errors():
            await self._describe()
        if self._tokenizes and texts:
            # Its failure costs precision only; a server that is down has raised above.
            with suppress(GeneratorError), self._named_errors():
                try:
                    async with asyncio.timeout(self.params.probe_timeout_s):
                        return [await self._count(text) for text in texts]
                except (openai.NotFoundError, openai.BadRequestError, GeneratorOutputInvalid):
                    self._tokenizes = False  # a server without a tokenizer will not grow one
        return [estimate_tokens(text) for text in texts]

    async def check(self) -> GeneratorState:
        """Ask the server for its models; never raises."""
        self._described = False
        try:
            with self._named_errors():
                async with asyncio.timeout(self.params.probe_timeout_s):
                    await self._describe()
        except GeneratorError as error:
            return GeneratorState(name=self.name, reachable=False, reason=error.message)
        return GeneratorState(name=self.name, reachable=True)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _request(
        self, messages: Sequence[Message], schema: Mapping[str, Any] | None, max_tokens: int
    ) -> dict[str, Any]:
        request: dict[str, Any] = {"model": self.name, "messages": list(messages), "temperature": 0}
        request["max_tokens"] = max_tokens
        if schema is not None:
            form = {"name": "reply", "strict": True, "schema": dict(schema)}
            request["response_format"] = {"type": "json_schema", "json_schema": form}
        return request

    def _next_deadline(self, deadline: float) -> float:
        return min(deadline, asyncio.get_running_loop().time() + self.params.idle_timeout_s)

    async def _describe(self) -> None:
        """Learn the model's name and context size from the server's list, once."""
        import openai

        if self._described:
            return
        try:
            async with asyncio.timeout(self.params.probe_timeout_s):
                listed = [model async for model in self._client.models.list()]
        except openai.NotFoundError:
            listed = []  # a server may do without the list when the model is named
        if not self.name and listed:
            self.name = listed[0].id
        if not self.name:
            raise GeneratorUnavailable(f"the server at {self._shown_url} lists no model; name one")
        for model in listed:
            size = (model.model_extra or {}).get("max_model_len")
            if model.id == self.name and isinstance(size, int) and size > 0:
                self.context_tokens = size
        self._described = True

    async def _count(self, text: str) -> int:
        # vLLM reads "prompt" and answers "count"; llama.cpp reads "content" and answers "tokens" only.
        body = {"model": self.name, "prompt": text, "content": text}
        reply = await self._client.with_options(max_retries=0).post(self._tokenize_url, cast_to=object, body=body)
        count = reply.get("count") if isinstance(reply, dict) else None
        tokens = reply.get("tokens") if isinstance(reply, dict) else None
        if isinstance(count, int):
            return count
        if isinstance(tokens, list):
            return len(tokens)
        raise GeneratorOutputInvalid("the server's tokenizer answered in an unknown form")

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Turn the client library's exceptions into ours: short, for people, with no secret in them."""
        import openai

        where = self._shown_url
        try:
            yield
        except (TimeoutError, openai.APITimeoutError):
            raise GeneratorTimeout(f"no answer in time from {where}") from None
        except openai.APIConnectionError as error:
            raise GeneratorUnavailable(f"{_name_cause(error)} at {where}") from None
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            # The server's own words are left out: some repeat the key.
            raise GeneratorUnavailable(f"status {error.status_code}: the API key was refused at {where}") from None
        except openai.APIStatusError as error:
            detail = self._redact(error.message)
            raise GeneratorUnavailable(f"status {error.status_code} from {where}: {detail}") from None
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise GeneratorOutputInvalid(f"the reply of {where} is not JSON") from None
        except openai.OpenAIError as error:
            raise GeneratorUnavailable(f"failure at {where}: {self._redact(str(error))}") from None

    def _redact(self, message: str) -> str:
        line = " ".join((message.replace(self._key, "…") if self._key else message).split())
        return line if len(line) <= 200 else line[:199] + "…"


def _read_choice(reply: object, part: str) -> tuple[Any, str]:
    """Return the first choice and its text; the library does not validate, so nothing is taken for granted."""
    choices = getattr(reply, "choices", None)
    choice = choices[0] if isinstance(choices, list) and choices else None
    text = getattr(getattr(choice, part, None), "content", None)
    return choice, text if isinstance(text, str) else ""


def _read_first_token(choice: Any) -> dict[str, float]:
    """Return the log-probability of each of the likeliest first tokens; nothing where the server does not tell."""
    content = getattr(getattr(choice, "logprobs", None), "content", None)
    first = content[0] if isinstance(content, list) and content else None
    likeliest = getattr(first, "top_logprobs", None)
    found = {}
    for one in likeliest if isinstance(likeliest, list) else []:
        token, logprob = getattr(one, "token", None), getattr(one, "logprob", None)
        if isinstance(token, str) and isinstance(logprob, (int, float)) and logprob <= 0:
            found[token] = float(logprob)
    return found


def _weigh_labels(logprobs: Mapping[str, float], labels: Sequence[str]) -> dict[str, float]:
    """Return the probability mass of the tokens that begin each label, whatever their letter case."""
    masses = dict.fromkeys(labels, 0.0)
    for token, logprob in logprobs.items():
        begun = token.strip().casefold()
        matching = [label for label in labels if begun and label.casefold().startswith(begun)]
        if len(matching) == 1:
            masses[matching[0]] += math.exp(logprob)
    return masses


def _read_usage(reply: object, default: Usage | None = None) -> Usage:
    usage = getattr(reply, "usage", None)
    prompt, completion = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
    if isinstance(prompt, int) and isinstance(completion, int):
        return Usage(prompt_tokens=prompt, completion_tokens=completion, calls=1)
    return default or Usage(calls=1)


def _require_whole(finish_reason: str, schema: Mapping[str, Any] | None) -> None:
    if finish_reason == "length" and schema is not None:
        raise GeneratorOutputInvalid("the reply was cut at the token limit before it was complete")


def _name_cause(error: BaseException) -> str:
    """Name what went wrong below a connection error in a few words, without addresses or internals."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
        if isinstance(cause, ConnectionResetError):
            return "connection reset"
        cause = cause.__cause__ or cause.__context__
    return "connection failed"
