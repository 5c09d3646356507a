"""The shapes of OpenAI's chat completions and models, with what Sharpwave adds to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from memory_graph.errors import InvalidInput, Unsupported
from memory_graph.types import Citation
from retrieval.answer import AnswerParams
from retrieval.ask import Asked
from retrieval.follow_up import Standing
from retrieval.generator import Message
from retrieval.reorder import Order
from retrieval.replies import CUT
from retrieval.search import SearchRequest
from retrieval.strategies.task import Strategy
from service.recall_schemas import CitationOut, SearchOptions
from service.schemas import MAX_QUESTION_CHARS, Out, Storable

PREFIX = "sharpwave/"
MAX_MESSAGES = 1_000
ROLES = ("system", "developer", "user", "assistant")

# Taken, because clients send them unasked, and without effect on an answer that is read off passages.
HARMLESS = frozenset({"user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "metadata", "seed"})
# Taken with the values that ask for nothing.
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "top_p": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logprobs": (False,),
    "store": (False,),
    "stop": ([],),
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "response_format": ({"type": "text"},),
    "service_tier": ("auto", "default"),
}
# Known and refused, so that the error can say that it is no typing mistake.
REFUSED = frozenset(
    {
        "audio",
        "moderation",
        "prediction",
        "reasoning_effort",
        "top_logprobs",
        "verbosity",
        "web_search_options",
    }
)


class PartIn(BaseModel):
    """A part of a message; only text is read."""

    model_config = ConfigDict(extra="allow")

    type: str
    text: Storable | None = None


def _as_parts(content: Any) -> Any:
    """Return a text as a list of one part; anything else is left to be judged as it came."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


Parts = Annotated[list[PartIn] | None, BeforeValidator(_as_parts, json_schema_input_type=str | list[PartIn] | None)]


class MessageIn(BaseModel):
    """A message; what else clients send back of an answer (``refusal``, ``annotations`` …) is not read."""

    model_config = ConfigDict(extra="ignore")

    role: str
    content: Parts = None

    def read(self, where: str) -> str:
        """Return the text. Errors: ``Unsupported`` for parts that are none."""
        for index, part in enumerate(self.content or ()):
            if part.type != "text" or part.text is None:
                raise Unsupported(f"{where}.content.{index}", f"a memory reads text parts, not {part.type!r}")
        return "\n".join(part.text or "" for part in self.content or ())


class StreamOptionsIn(BaseModel):
    model_config = ConfigDict(extra="ignore")

    include_usage: bool = False


class ExtrasIn(SearchOptions):
    """What ``extra_body={"sharpwave": {…}}`` may say: as in a question to ``/query``."""

    top_k: Annotated[int, Field(ge=1, le=1000)] = 5
    strategy: Strategy = "direct"
    order: Order = "edges"
    warm_start: bool = False


class ChatIn(BaseModel):
    """A request; parameters that are not named here are judged by ``refuse_others``."""

    model_config = ConfigDict(extra="allow")

    model: Annotated[str, Field(max_length=200)]
    messages: Annotated[list[MessageIn], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool | None = None
    stream_options: StreamOptionsIn | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    sharpwave: ExtrasIn = Field(default_factory=ExtrasIn)

    def refuse_others(self) -> None:
        """Refuse parameters, or values of them, that cannot be honoured. Errors: ``Unsupported``."""
        for name, value in (self.model_extra or {}).items():
            if value is None or name in HARMLESS:
                continue
            if name in REFUSED:
                raise Unsupported(name, "is not supported by a memory; leave it out")
            if name not in NEUTRAL:
                raise Unsupported(name, "is not a known parameter; options of Sharpwave's own go into `sharpwave`")
            if value not in NEUTRAL[name]:
                allowed = " or ".join(map(repr, NEUTRAL[name]))
                raise Unsupported(name, f"is supported as {allowed} alone; leave it out")

    def read(self) -> tuple[str, list[Message]]:
        """Return the question, which is the last user message, and the turns before it.

        Errors: ``Unsupported`` for roles and parts that a memory does not read, ``InvalidInput`` for a question that is
        missing, empty or too long.
        """
        said: list[Message] = []
        asked = -1
        for index, message in enumerate(self.messages):
            where = f"messages.{index}"
            if message.role not in ("system", "developer", "user", "assistant"):
                raise Unsupported(
                    f"{where}.role", f"must be system, developer, user or assistant, not {message.role!r}"
                )
            said.append({"role": message.role, "content": message.read(where)})
            if message.role == "user":
                asked = index
        if asked < 0:
            raise InvalidInput("messages", "needs a message of the role user, which holds the question")
        question = said[asked]["content"]
        if not question.strip():
            raise InvalidInput(f"messages.{asked}.content", "must not be empty")
        if len(question) > MAX_QUESTION_CHARS:
            raise InvalidInput(f"messages.{asked}.content", f"must be at most {MAX_QUESTION_CHARS} characters")
        return question, [turn for turn in said[:asked] if turn["role"] in ("user", "assistant")]

    def request_for(self, question: str) -> SearchRequest:
        return self.sharpwave.request_for(question)

    def limit(self, params: AnswerParams) -> int:
        """Return how many tokens the model's reply may have: the least of what was asked for and the setting."""
        given = [limit for limit in (self.max_tokens, self.max_completion_tokens) if limit is not None]
        return min([params.max_tokens, *given])

    @property
    def ignored(self) -> list[str]:
        """What was taken and changed nothing, for the answer to say so."""
        roles = {message.role for message in self.messages} & {"system", "developer"}
        drawn = ["temperature"] if self.temperature else []
        return [*drawn, *(f"messages of the role {role}" for role in sorted(roles))]


class ModelOut(Out):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["sharpwave"] = "sharpwave"


class ModelsOut(Out):
    object: Literal["list"] = "list"
    data: list[ModelOut]


class AnswerOut(Out):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None
    annotations: list[dict[str, Any]]


class ChoiceOut(Out):
    index: Literal[0] = 0
    message: AnswerOut
    logprobs: None = None
    finish_reason: Literal["stop", "length"]


class ChatOut(Out):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChoiceOut]
    usage: dict[str, Any]
    sharpwave: dict[str, Any]


def finish_reason(asked: Asked) -> Literal["stop", "length"]:
    """Say how an answer ended: ``length`` where the token limit cut the model's reply, and passages are quoted."""
    return "length" if CUT in (asked.answer.fallback_reason or "") else "stop"


def annotate(citation: Citation, length: int, url: str) -> dict[str, Any]:
    """Return a citation as OpenAI's ``url_citation`` of a whole answer, with our own fields beside it."""
    place = {"start_index": 0, "end_index": length, "title": citation.title or citation.document_id, "url": url}
    return {"type": "url_citation", "url_citation": place, "sharpwave": CitationOut.of(citation).model_dump()}


def usage_of(asked: Asked) -> dict[str, Any]:
    """Return the tokens of all calls that an answer took."""
    usage = asked.usage
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def told_of(asked: Asked, standing: Standing, query_id: str, body: ChatIn) -> dict[str, Any]:
    """Return what Sharpwave adds to an answer."""
    told = {
        "query_id": query_id,
        "question": standing.text,
        "found": asked.answer.found,
        "extractive": asked.answer.extractive,
        "strategy": asked.strategy,
        "version": asked.found.version,
        "timings_ms": asked.timings_ms,
        "fallback_reason": asked.fallback_reason,
        "ignored": body.ignored,
    }
    return told | ({"trace": asked.trace()} if body.sharpwave.trace else {})
