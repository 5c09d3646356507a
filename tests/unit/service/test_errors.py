"""Every error has a status and a code, and no problem document tells more than it should."""

from __future__ import annotations

import json

import pytest

from memory_graph import errors
from memory_graph.errors import Conflict, InvalidInput, NotFound, SharpwaveError, StoreFull, UnreadableDocument
from service.errors import problem, status_of


def all_kinds(kind: type[SharpwaveError] = SharpwaveError) -> list[type[SharpwaveError]]:
    return [kind, *(deeper for sub in kind.__subclasses__() for deeper in all_kinds(sub))]


def make(kind: type[SharpwaveError]) -> SharpwaveError:
    if kind is UnreadableDocument:
        return kind("name", "empty", "message")  # type: ignore[call-arg]
    if kind is NotFound or issubclass(kind, InvalidInput):
        return kind("one", "two")  # type: ignore[call-arg]
    return kind("message")


@pytest.mark.parametrize("kind", [kind for kind in all_kinds() if kind is not SharpwaveError])
def test_every_error_of_the_tree_has_a_status(kind: type[SharpwaveError]) -> None:
    assert 400 <= status_of(make(kind)) < 600
    assert kind.__name__ in (errors.__doc__ or "")


def test_codes_are_stable_and_each_its_own() -> None:
    codes = [kind.code for kind in all_kinds()]
    assert len(set(codes)) == len(codes)
    assert all(code.isidentifier() and code.islower() for code in codes)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidInput("top_k", "is too large"), 422),
        (UnreadableDocument("a.pdf", "encrypted", "has a password"), 422),
        (NotFound("collection", "x"), 404),
        (Conflict("exists"), 409),
        (errors.GeneratorTimeout("slow"), 504),
        (errors.GeneratorUnavailable("gone"), 502),
        (errors.GeneratorOutputInvalid("odd"), 502),
        (errors.ModelMissing("no model"), 503),
        (StoreFull("full"), 507),
        (errors.StoreBusy("busy"), 503),
        (errors.StoreUnavailable("away"), 503),
        (errors.StoreVersionMismatch("newer"), 500),
        (SharpwaveError("other"), 500),
    ],
)
def test_statuses(error: SharpwaveError, status: int) -> None:
    assert status_of(error) == status


def test_a_problem_document() -> None:
    response = problem(422, "invalid_input", "top_k: is too large", field="top_k")
    assert response.media_type == "application/problem+json"
    assert json.loads(bytes(response.body)) == {
        "type": "urn:sharpwave:problem:invalid_input",
        "title": "Invalid input",
        "status": 422,
        "code": "invalid_input",
        "detail": "top_k: is too large",
        "field": "top_k",
    }
