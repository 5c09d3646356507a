"""The OpenAI-compatible routes, asked by the ``openai`` client over a real port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from ingest.jobs import document_items
from memory_graph.errors import GeneratorOutputInvalid, GeneratorUnavailable
from memory_graph.types import Document
from retrieval.replies import CUT
from tests.unit.service.listening import Listening, listen

HARBOUR = "Maren Quill built the harbour of Tessaly in 1871."
MILL = "Ivo Brandt built the mill at Ostrow. Its wheel broke in 1902."
PAGE = "https://harbours.example/tessaly"
QUESTION = {"role": "user", "content": "Who built the harbour of Tessaly?"}
BUILDER = json.dumps({"answer": "Maren Quill", "passages": [1]})


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, tokenizer_file: Path) -> Iterator[Listening]:
    with listen(tmp_path_factory.mktemp("openai"), tokenizer_file) as service:
        for name, document in (
            ("letters", Document(id="harbour", title="The harbour", text=HARBOUR)),
            ("pages", Document(id=PAGE, title="The harbour", text=HARBOUR)),
            ("secrets", Document(id="mill", title="The mill", text=MILL)),
        ):
            service.create(name)
            service.parts.jobs.submit(name, document_items([document]))
        service.learn_waiting()
        yield service


@pytest.fixture
def client(service: Listening) -> Iterator[OpenAI]:
    service.generator.replies.clear()
    service.generator.prompts.clear()
    with connect(service, "all") as client:
        yield client


def connect(service: Listening, key: str) -> OpenAI:
    return OpenAI(base_url=f"{service.url}/v1", api_key=key, max_retries=0)


def ask(client: OpenAI, model: str = "sharpwave/letters", **options: Any) -> ChatCompletion:
    answer: ChatCompletion = client.chat.completions.create(model=model, **({"messages": [QUESTION]} | options))
    return answer


def error_of(error: openai.APIStatusError) -> dict[str, Any]:
    """Return the error as it came over the wire, which has OpenAI's four fields and nothing else."""
    body: dict[str, Any] = error.response.json()["error"]
    assert set(body) == {"message", "type", "param", "code"}
    assert error.response.headers["content-type"] == "application/json"
    return body


def test_a_collection_answers_as_a_model(service: Listening, client: OpenAI) -> None:
    service.generator.replies[:] = [BUILDER]
    answer = ask(client)
    assert answer.object == "chat.completion"
    assert answer.model == "sharpwave/letters"
    (choice,) = answer.choices
    assert (choice.message.content, choice.message.role, choice.finish_reason) == ("Maren Quill", "assistant", "stop")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_citations_are_annotations_with_the_passage_behind_them(service: Listening, client: OpenAI) -> None:
    service.generator.replies[:] = [BUILDER]
    (annotation,) = ask(client).choices[0].message.annotations or []
    cited = annotation.url_citation
    assert (cited.start_index, cited.end_index, cited.title) == (0, len("Maren Quill"), "The harbour")
    own = (annotation.model_extra or {})["sharpwave"]
    assert (own["document_id"], own["quote"], own["supported"]) == ("harbour", HARBOUR, True)
    passage = httpx.get(cited.url, headers={"Authorization": "Bearer all"})
    assert passage.json()["text"] == HARBOUR


def test_a_document_from_the_web_is_cited_by_its_address(service: Listening, client: OpenAI) -> None:
    service.generator.replies[:] = [BUILDER]
    (annotation,) = ask(client, "sharpwave/pages").choices[0].message.annotations or []
    assert annotation.url_citation.url == PAGE


def test_the_question_is_logged_under_the_id_that_the_answer_names(service: Listening, client: OpenAI) -> None:
    service.generator.replies[:] = [BUILDER]
    told = (ask(client).model_extra or {})["sharpwave"]
    assert (told["found"], told["strategy"], told["fallback_reason"], told["ignored"]) == (True, "direct", None, [])
    logged = httpx.get(f"{service.url}/v1/queries/{told['query_id']}", headers={"Authorization": "Bearer all"}).json()
    assert (logged["collection"], logged["question"]) == ("letters", QUESTION["content"])
    assert logged["answer"] == "Maren Quill"


def read_stream(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def test_a_stream_ends_with_citations_and_usage(service: Listening, client: OpenAI) -> None:
    service.generator.replies[:] = [BUILDER]
    stream = client.chat.completions.create(
        model="sharpwave/letters",
        messages=[QUESTION],  # type: ignore[list-item]
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert read_stream(chunks) == "Maren Quill"
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    *others, last, counted = chunks
    assert all(chunk.usage is None and chunk.choices[0].finish_reason is None for chunk in others)
    assert last.choices[0].finish_reason == "stop"
    (annotation,) = (last.choices[0].delta.model_extra or {})["annotations"]
    assert annotation["sharpwave"]["quote"] == HARBOUR
    assert (last.model_extra or {})["sharpwave"]["query_id"]
    assert counted.choices == []
    assert counted.usage is not None
    assert counted.usage.total_tokens > 0


def test_a_stream_counts_nothing_unless_asked(service: Listening, client: OpenAI) -> None:
    service.generator.replies[:] = [BUILDER]
    stream = client.chat.completions.create(
        model="sharpwave/letters",
        messages=[QUESTION],  # type: ignore[list-item]
        stream=True,
    )
    chunks = list(stream)
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def test_a_stream_never_shows_an_answer_that_no_passage_carries(service: Listening, client: OpenAI) -> None:
    service.generator.replies[:] = [json.dumps({"answer": "Ada Lovelace", "passages": [1]})]
    stream = client.chat.completions.create(
        model="sharpwave/letters",
        messages=[QUESTION],  # type: ignore[list-item]
        stream=True,
    )
    assert read_stream(list(stream)) == "The memory does not say."


def test_the_asynchronous_client_is_answered_too(service: Listening) -> None:
    service.generator.replies[:] = [BUILDER, BUILDER]

    async def scenario() -> tuple[str | None, str]:
        async with AsyncOpenAI(base_url=f"{service.url}/v1", api_key="reader", max_retries=0) as client:
            whole = await client.chat.completions.create(
                model="sharpwave/letters",
                messages=[QUESTION],  # type: ignore[list-item]
            )
            stream = await client.chat.completions.create(
                model="sharpwave/letters",
                messages=[QUESTION],  # type: ignore[list-item]
                stream=True,
            )
            return whole.choices[0].message.content, read_stream([chunk async for chunk in stream])

    assert asyncio.run(scenario()) == ("Maren Quill", "Maren Quill")


def test_a_follow_up_is_rewritten_before_it_is_searched_for(service: Listening, client: OpenAI) -> None:
    standing = "In which year was the harbour of Tessaly built?"
    service.generator.replies[:] = [
        json.dumps({"question": standing}),
        json.dumps({"answer": "1871", "passages": [1]}),
    ]
    messages = [
        QUESTION,
        {"role": "assistant", "content": "Maren Quill"},
        {"role": "user", "content": "In which year?"},
    ]
    answer = ask(client, messages=messages)
    assert answer.choices[0].message.content == "1871"
    told = (answer.model_extra or {})["sharpwave"]
    assert (told["question"], told["fallback_reason"]) == (standing, None)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 200  # both calls
    logged = httpx.get(f"{service.url}/v1/queries/{told['query_id']}", headers={"Authorization": "Bearer all"}).json()
    assert logged["question"] == standing
    assert logged["trace"]["stages"][0]["name"] == "follow_up"
    assert logged["trace"]["stages"][0]["detail"]["asked"] == "In which year?"


def test_text_parts_are_read_and_instructions_ignored_aloud(service: Listening, client: OpenAI) -> None:
    service.generator.replies[:] = [BUILDER]
    parts = [{"type": "text", "text": "Who built"}, {"type": "text", "text": "the harbour of Tessaly?"}]
    messages = [{"role": "system", "content": "Answer like a pirate."}, {"role": "user", "content": parts}]
    answer = ask(client, messages=messages, temperature=0.7, n=1, top_p=1, seed=3, user="me", tools=[])
    told = (answer.model_extra or {})["sharpwave"]
    assert told["question"] == "Who built\nthe harbour of Tessaly?"
    assert told["ignored"] == ["temperature", "messages of the role system"]
    assert "pirate" not in str(service.generator.prompts)


def test_options_of_our_own_go_into_the_extra_body(service: Listening, client: OpenAI) -> None:
    own = {"mode": "dense", "top_k": 1, "strategy": "direct", "order": "document", "trace": True, "filter": {"x": 1}}
    answer = ask(client, extra_body={"sharpwave": own})
    told = (answer.model_extra or {})["sharpwave"]
    assert answer.choices[0].message.content == "The memory does not say."  # the filter leaves nothing
    assert told["found"] is False
    assert told["trace"]["hits"] == []
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, extra_body={"sharpwave": {"top_k": 0}})
    assert error_of(caught.value)["param"] == "sharpwave.top_k"
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, extra_body={"sharpwave": {"filter": {"x": {"near": 1}}}})
    assert error_of(caught.value)["code"] == "invalid_input"


def test_the_limit_of_tokens_reaches_the_model_and_a_cut_reply_says_so(service: Listening, client: OpenAI) -> None:
    service.generator.replies[:] = [GeneratorOutputInvalid(CUT)]
    answer = ask(client, max_tokens=1)
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.content == HARBOUR
    told = (answer.model_extra or {})["sharpwave"]
    assert told["extractive"] is True


def test_a_failing_model_is_answered_around_and_says_so(service: Listening, client: OpenAI) -> None:
    service.generator.replies[:] = [GeneratorUnavailable("no route to the model")]
    answer = ask(client)
    assert answer.choices[0].message.content == HARBOUR
    assert (answer.model_extra or {})["sharpwave"]["fallback_reason"] == "generator_unavailable: no route to the model"


@pytest.mark.parametrize(
    ("options", "param", "code"),
    [
        ({"n": 2}, "n", "unsupported_parameter"),
        ({"stop": ["."]}, "stop", "unsupported_parameter"),
        ({"tools": [{"type": "function"}]}, "tools", "unsupported_parameter"),
        ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
        ({"reasoning_effort": "high"}, "reasoning_effort", "unsupported_parameter"),
        ({"extra_body": {"top_k": 3}}, "top_k", "unsupported_parameter"),
        ({"temperature": 3}, "temperature", "invalid_input"),
        ({"max_tokens": 0}, "max_tokens", "invalid_input"),
        ({"messages": []}, "messages", "invalid_input"),
        ({"messages": [{"role": "assistant", "content": "Hm."}]}, "messages", "invalid_input"),
        ({"messages": [{"role": "user", "content": " "}]}, "messages.0.content", "invalid_input"),
        ({"messages": [{"role": "user", "content": "é" * 8001}]}, "messages.0.content", "invalid_input"),
        ({"messages": [{"role": "user", "content": "a\0"}]}, "messages.0.content.0.text", "invalid_input"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content", "invalid_input"),
        ({"messages": [{"role": "tool", "content": "7"}, QUESTION]}, "messages.0.role", "unsupported_parameter"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]},
            "messages.0.content.0",
            "unsupported_parameter",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    client: OpenAI, service: Listening, options: dict[str, Any], param: str, code: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, **options)
    error = error_of(caught.value)
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
    assert error["message"].startswith(f"{param}: ")
    assert service.generator.prompts == []


def test_models_are_the_collections_that_the_key_sees(service: Listening, client: OpenAI) -> None:
    assert {"sharpwave/letters", "sharpwave/secrets"} <= {model.id for model in client.models.list()}
    assert client.models.retrieve("sharpwave/secrets").owned_by == "sharpwave"
    with connect(service, "letters") as bound:
        assert [model.id for model in bound.models.list()] == ["sharpwave/letters"]
        assert bound.models.retrieve("sharpwave/letters").id == "sharpwave/letters"


@pytest.mark.parametrize("stream", [False, True])
def test_another_s_model_is_as_unknown_as_one_that_is_not_there(service: Listening, stream: bool) -> None:
    told = []
    with connect(service, "letters") as bound:
        for model in ("sharpwave/secrets", "sharpwave/nowhere", "letters", "sharpwave/\0", "gpt-4o"):
            with pytest.raises(openai.NotFoundError) as caught:
                ask(bound, model, stream=stream)
            error = error_of(caught.value)
            assert (error["code"], error["type"]) == ("model_not_found", "invalid_request_error")
            told.append(error["message"].replace(repr(model), "M"))
        for model in ("sharpwave/secrets", "sharpwave/nowhere"):
            with pytest.raises(openai.NotFoundError) as caught:
                bound.models.retrieve(model)
            told.append(error_of(caught.value)["message"].replace(repr(model), "M"))
    assert set(told) == {"model M does not exist"}


def test_a_key_that_may_only_write_is_refused(service: Listening) -> None:
    with connect(service, "writer") as client:
        with pytest.raises(openai.PermissionDeniedError) as caught:
            ask(client)
        assert error_of(caught.value)["code"] == "forbidden"
        with pytest.raises(openai.PermissionDeniedError):
            client.models.list()


def test_refusals_of_the_gate_and_of_the_router_have_the_shape_too(service: Listening) -> None:
    foreign = httpx.get(f"{service.url}/v1/models", headers={"Origin": "https://elsewhere.example"})
    assert (foreign.status_code, foreign.json()["error"]["code"]) == (403, "forbidden_origin")
    wrong = httpx.post(f"{service.url}/v1/models")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET"
    broken = httpx.post(f"{service.url}/v1/chat/completions", content="{")
    assert (broken.status_code, broken.json()["error"]["type"]) == (400, "invalid_request_error")
    elsewhere = httpx.get(f"{service.url}/v1/collections/none")
    assert elsewhere.headers["content-type"] == "application/problem+json"


def test_without_its_key_a_client_is_told_so(tmp_path: Path, tokenizer_file: Path) -> None:
    with listen(tmp_path, tokenizer_file, admin_key="secret") as service, connect(service, "wrong") as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            client.models.list()
        assert error_of(caught.value)["code"] == "invalid_api_key"
        with connect(service, "secret") as rightful:
            assert [model.id for model in rightful.models.list()] == ["sharpwave/default"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_fault_of_ours_tells_nothing_but_where_to_look(
    service: Listening, client: OpenAI, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    async def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret detail of the fault")

    monkeypatch.setattr(service.generator, "complete", fail)
    with pytest.raises(openai.APIError, match="the server's log has it as") as caught:
        list(ask(client, stream=stream))
    assert "secret" not in str(caught.value)
    if not stream:
        assert isinstance(caught.value, openai.InternalServerError)
        assert error_of(caught.value)["code"] == "internal_error"
