"""Splitter: exact offsets, nothing lost, never over the budget, whatever the text."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from ingest.formats.tables import render_table
from ingest.splitter import SplitParams, Splitter, find_blocks, find_pieces
from memory_graph.errors import InvalidInput, ModelMissing
from memory_graph.types import Document, Passage

WORDS = [
    "the",
    "mill",
    "Mr.",
    "harbour,",
    "stood;",
    "J.",
    "wrote:",
    "3.14",
    "e\u0301te",
    "漢字",
    "https://h.example/a",
    "🎈",
]


@pytest.fixture(scope="module")
def tokenizer(tokenizer_file: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@pytest.fixture(scope="module")
def splitter(tokenizer_file: Path) -> Splitter:
    return Splitter(tokenizer_file)


def count(tokenizer: Tokenizer, text: str) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


def split_checked(splitter: Splitter, tokenizer: Tokenizer, document: Document) -> tuple[Passage, ...]:
    """Split, and check what holds for every text."""
    passages = splitter.split(document)
    room = splitter.params.max_tokens - min(40, count(tokenizer, document.title) if document.title else 0)
    end = 0
    for ordinal, passage in enumerate(passages):
        assert passage.ordinal == ordinal
        assert document.text[passage.start : passage.end] == passage.text
        assert passage.text == passage.text.strip() != ""
        assert passage.start >= end
        assert document.text[end : passage.start].strip() == ""
        assert count(tokenizer, passage.text) <= room
        end = passage.end
    assert document.text[end:].strip() == ""
    return passages


def make_text(rng: random.Random, length: int) -> str:
    parts: list[str] = []
    while sum(map(len, parts)) < length:
        kind = rng.randrange(12)
        words = " ".join(rng.choices(WORDS, k=rng.randrange(1, 60)))
        if kind == 0:
            parts.append(f"\n\n{'#' * rng.randrange(1, 7)} {words[:60]}\n\n")
        elif kind == 1:
            parts.append("\n- " + "\n- ".join(words.split()[:8]) + "\n\n")
        elif kind == 2:
            parts.append(f"\n```\n{words}\n\n# no heading\n```\n")
        elif kind == 3:
            parts.append(rng.choice(["\n\n\n", "\t \n", "\r\n", "\u3000", "---\n", "===\n", "...", "\u0301" * 40]))
        elif kind == 4:
            parts.append("x" * rng.randrange(3000))
        elif kind == 5:
            parts.append("漢字仮名交じり文。" * rng.randrange(60))
        else:
            parts.append(words + rng.choice([". ", "! ", '." ', "\n", "\n\n", " "]))
    return "".join(parts)


@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_lost_and_nothing_is_too_long(splitter: Splitter, tokenizer: Tokenizer, seed: int) -> None:
    rng = random.Random(seed)
    title = " ".join(rng.choices(WORDS, k=seed * 3))
    text = make_text(rng, 6000)
    passages = split_checked(splitter, tokenizer, Document(id="d", text=text, title=title))
    assert "".join("".join(p.text.split()) for p in passages) == "".join(text.split())


def test_a_tokenizer_that_counts_spaces(tmp_path: Path) -> None:
    # Byte-level BPE joins a space to the word after it, so the parts of a text need not add up to its tokens.
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=700, show_progress=False)
    bpe.train_from_iterator([make_text(random.Random(99), 20_000)], trainer)
    bpe.save(str(tmp_path / "tokenizer.json"))
    splitter = Splitter(tmp_path / "tokenizer.json")
    for seed in range(8):
        split_checked(splitter, bpe, Document(id="d", text=make_text(random.Random(seed), 6000), title="The Mill"))


@pytest.mark.parametrize(
    "text",
    [
        "a" * 300_000,
        "a b " * 20_000,
        "." * 30_000,
        '."' * 15_000,
        " " * 300_000 + "x",
        "\n" * 300_000,
        "漢" * 20_000,
        "👩‍👩‍👧‍👦" * 5_000,
        "e" + "\u0301" * 50_000,
        "# a" + " " * 300_000 + "b",
        "# x\n" * 5_000,
        "```\n" * 5_000,
        "| a | b |\n" * 5_000,
    ],
    ids=range(13),
)
def test_strange_texts(splitter: Splitter, tokenizer: Tokenizer, text: str) -> None:
    for passage in split_checked(splitter, tokenizer, Document(id="d", text=text)):
        assert len(passage.text) < 5000  # a word is one [UNK] to WordPiece, however long it is


def test_passages_end_at_sentences_and_paragraphs(splitter: Splitter, tokenizer: Tokenizer) -> None:
    sentence = "Mr. Elliot walked along the harbour with J. Smith for a while. "
    text = "\n\n".join(sentence * n for n in (30, 4, 9, 2, 40, 12))
    passages = split_checked(splitter, tokenizer, Document(id="d", text=text))
    assert all(p.text.startswith("Mr. Elliot") and p.text.endswith("while.") for p in passages)
    sizes = [count(tokenizer, p.text) for p in passages]
    assert min(sizes) >= 60


def test_headings_pages_and_own_title(splitter: Splitter, tokenizer: Tokenizer) -> None:
    body = "The keeper wrote down what the sea had brought that day. " * 12
    text = (
        f"# The *Log*\n\nBefore. {body}\n\n## Part I\n\n{body}\n\n### Chapter [2](x.html) ##\n\n{body}\n\n"
        f"Part II\n-------\n\n{body}\n\n```sh\n# a comment\n```\n\n{body}"
    )
    pages = (0, text.index("### Chapter"), text.index("```sh"))
    passages = split_checked(splitter, tokenizer, Document(id="d", text=text, title="The Log", pages=pages))
    headings = list(dict.fromkeys(p.heading for p in passages))
    assert headings == ["", "Part I", "Part I › Chapter 2", "Part II"]
    assert passages[0].page == 1
    assert passages[-1].page == 3
    assert next(p.page for p in passages if p.heading.endswith("Chapter 2")) == 2
    assert splitter.split(Document(id="d", text=text))[0].heading == "The Log"


def test_a_heading_stays_with_its_text(splitter: Splitter) -> None:
    body = "The keeper wrote down what the sea had brought that day. " * 11
    text = "".join(f"# Part {n}\n\n## Chapter {n}\n\n{body}\n\n" for n in range(9))
    passages = splitter.split(Document(id="d", text=text))
    assert [p.text[:8] for p in passages] == [f"# Part {n}" for n in range(9)]


def test_small_sections_share_a_passage(splitter: Splitter, tokenizer: Tokenizer) -> None:
    text = "".join(f"## Question {n}\n\nA short answer.\n\n" for n in range(40))
    sizes = [count(tokenizer, p.text) for p in split_checked(splitter, tokenizer, Document(id="d", text=text))]
    assert min(sizes) > 60


def test_mode_none_keeps_one_passage(tokenizer_file: Path) -> None:
    splitter = Splitter(tokenizer_file, SplitParams(mode="none"))
    (passage,) = splitter.split(Document(id="d", text="\n one. two.\n\n" * 900))
    assert passage.start == 2
    assert passage.text.count("one.") == 900
    assert splitter.split(Document(id="d", text=" \n")) == ()


def test_no_text_gives_no_passages(splitter: Splitter) -> None:
    assert splitter.split(Document(id="d", text="")) == ()
    assert splitter.split(Document(id="d", text=" \n\t\n")) == ()


@pytest.mark.parametrize("seed", range(5))
def test_blocks_and_pieces_leave_no_gaps(seed: int) -> None:
    text = make_text(random.Random(seed), 4000)
    for stretches in ([(b[0], b[1]) for b in find_blocks(text)], [(p.start, p.end) for p in find_pieces(text)]):
        assert stretches[0][0] == 0
        assert stretches[-1][1] == len(text)
        assert all(left[1] == right[0] for left, right in pairwise(stretches))


def test_front_matter_and_tables_are_no_headings() -> None:
    text = "---\ntitle: x\nkey: y\n---\n\na | b\n--- | ---\n1 | 2\n\nReal\n====\n\n#no space\n\n####### seven"
    assert [text[start:end].strip() for start, end, level, _ in find_blocks(text) if level] == ["Real\n===="]


def test_small_tables_stay_whole_so_that_each_passage_of_a_long_one_has_its_head(
    splitter: Splitter, tokenizer: Tokenizer
) -> None:
    rows = [["id", "town", "people", "mayor"], *([n, f"Town {n}", n * 1001, f"Mayor {n * 7}"] for n in range(200))]
    text = "\n\n".join(["## Towns", *render_table(rows)])
    passages = split_checked(splitter, tokenizer, Document(id="a", text=text, title="Towns of the plain"))
    assert len(passages) > 10
    for passage in passages:
        assert passage.text.removeprefix("## Towns\n\n").startswith("| id | town | people | mayor |\n| --- |")


def test_wrong_parameters_name_the_field(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="max_tokens"):
        SplitParams(max_tokens=10)
    with pytest.raises(InvalidInput, match="min_tokens"):
        SplitParams(min_tokens=221)
    with pytest.raises(InvalidInput, match="split"):
        SplitParams(mode="pages")  # type: ignore[arg-type]
    with pytest.raises(ModelMissing):
        Splitter(tmp_path / "tokenizer.json")
