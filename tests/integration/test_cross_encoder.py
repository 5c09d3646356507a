"""The real cross-encoder: what it prefers, and that a text's score is its own whatever happens beside it."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from retrieval import models
from retrieval.cross_encoder import CrossEncoder
from service.settings import Settings
from service.wiring import open_reranker
from tests.integration.installation import Installation, Ran

QUESTION = "Who wrote Hamlet?"
TEXTS = [
    "Hamlet\nHamlet is a tragedy by William Shakespeare, written about 1600.",
    "Hamlet cigars\nHamlet is a brand of cigars that was advertised with music by Bach.",
    "Globe Theatre\nThe Globe was a theatre in London where plays of Shakespeare were first performed.",
    "Paris\nParis lies on the Seine.",
    "A hamlet is a small settlement without a church.",
]


def test_a_passage_with_the_answer_is_preferred(reranker: CrossEncoder) -> None:
    scores = reranker.score(QUESTION, TEXTS)
    assert (scores.dtype, scores.shape) == (np.float32, (len(TEXTS),))
    assert scores.argmax() == 0
    assert scores[0] > 0 > scores[3]
    assert reranker.score("What is the Hamlet brand known for?", TEXTS).argmax() == 1


def test_a_score_does_not_depend_on_the_company(reranker: CrossEncoder) -> None:
    together = reranker.score(QUESTION, TEXTS)
    alone = np.concatenate([reranker.score(QUESTION, [text]) for text in TEXTS])
    assert np.array_equal(together, alone)
    assert np.array_equal(reranker.score(QUESTION, TEXTS[::-1])[::-1], together)
    assert np.array_equal(reranker.score(QUESTION, [*TEXTS, "long " * 2000])[: len(TEXTS)], together)


def test_questions_at_once_disturb_each_other_not(reranker: CrossEncoder) -> None:
    questions = [QUESTION, "Where is Paris?", "What is a hamlet?", "Which music advertised cigars?"] * 3
    expected = [reranker.score(question, TEXTS) for question in questions]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda question: reranker.score(question, TEXTS), questions))
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("text", ["", "\ud800", "東京", "long " * 5000, "\N{SMILING FACE WITH SMILING EYES}" * 600])
def test_any_text_has_a_score(reranker: CrossEncoder, text: str) -> None:
    assert np.isfinite(reranker.score(text, [text, TEXTS[0]])).all()


def test_what_stands_beyond_512_tokens_is_not_read(reranker: CrossEncoder) -> None:
    padding = "rain " * 600
    first, second = reranker.score(QUESTION, [padding + TEXTS[0], padding + TEXTS[3]])
    assert first == second
    before, after = reranker.score(QUESTION, [TEXTS[0] + padding, padding + TEXTS[0]])
    assert before > after


def test_the_wired_reranker_is_the_same(reranker: CrossEncoder) -> None:
    wired = open_reranker(Settings(threads=1))
    assert wired.name == reranker.name == Settings().reranker
    assert np.array_equal(wired.score(QUESTION, TEXTS), reranker.score(QUESTION, TEXTS))


@pytest.mark.parametrize("mode", ["graph", "dense", "hybrid"])
@pytest.mark.usefixtures("reranker")
def test_search_from_the_command_line(learned: tuple[Installation, Ran], mode: str) -> None:
    installation, _ = learned
    question = "Who founded the Lissenholt Courant?"
    options = ("--mode", mode, "--rerank", "cross", "--trace", "--json", "-k", "3")
    found = installation.run("search", question, *options).json
    (cross,) = [stage for stage in found["trace"]["stages"] if stage["name"] == "cross"]
    assert cross["detail"]["candidates"] == 30
    assert [one["passage_id"] for one in cross["detail"]["best"][:3]] == [hit["passage_id"] for hit in found["hits"]]
    assert "Courant" in found["hits"][0]["text"]
    assert found["hits"][0]["score"] > 0.5


@pytest.fixture
def models_without_it(tmp_path: Path) -> str:
    """A folder with links to all models that are here but the reranker."""
    root = models.models_dir()
    folder = tmp_path / "models"
    folder.mkdir()
    for model in models.registry():
        if model.role != "reranker" and models.is_present(model, root):
            (folder / model.name).symlink_to(root / model.name)
    return str(folder)


def test_a_reranker_that_was_not_pulled(learned: tuple[Installation, Ran], models_without_it: str) -> None:
    installation, _ = learned
    command = f"sharpwave models pull {Settings().reranker}"
    ran = installation.run("search", "x", "--rerank", "cross", status=1, SHARPWAVE_MODELS_DIR=models_without_it)
    assert f"run: {command}" in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    checks = installation.run("doctor", "--json", SHARPWAVE_MODELS_DIR=models_without_it).json["checks"]
    (check,) = [one for one in checks if one["check"] == "models"]
    assert check["ok"] is True
    assert f"rerank cross would need: {command}" in check["detail"]


def test_a_damaged_reranker_is_told(
    learned: tuple[Installation, Ran], models_without_it: str, reranker: CrossEncoder
) -> None:
    installation, _ = learned
    copy = Path(models_without_it) / reranker.name
    shutil.copytree(models.models_dir() / reranker.name, copy)
    with (copy / "model.onnx").open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"\0\1\2\3")
    asked = installation.run("search", "x", "--rerank", "cross", status=1, SHARPWAVE_MODELS_DIR=models_without_it)
    checked = installation.run("doctor", status=1, SHARPWAVE_MODELS_DIR=models_without_it)
    for said in (asked.err, checked.out):
        assert "model.onnx: expected sha256" in said.replace("\n", " ")
