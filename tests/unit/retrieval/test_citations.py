from __future__ import annotations

import pytest

from memory_graph.types import Hit
from retrieval.citations import (
    MAX_QUOTE_CHARACTERS,
    choose_quote,
    content_words,
    ground,
    names,
    split_sentences,
)
from retrieval.extractive import condense, extract


def make_hits(*passages: tuple[str, str]) -> list[Hit]:
    return [
        Hit(passage_id=rank, document_id=f"d{rank}", title=title, text=text, score=1 / rank, rank=rank)
        for rank, (title, text) in enumerate(passages, start=1)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two!  Three?", ["One.", "Two!", "Three?"]),
        ("“Stop!” he said. Then 3.5 km.", ["“Stop!”", "he said.", "Then 3.5 km."]),
        ("A heading\n\nA line\n", ["A heading", "A line"]),
        ("東京は首都です。人口は多い！", ["東京は首都です。", "人口は多い！"]),
        ("no end", ["no end"]),
        ("  \n ", []),
        ("", []),
    ],
)
def test_sentences_are_stretches_of_the_text(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in split_sentences(text)] == expected


def test_content_words_leave_out_what_carries_nothing_unless_nothing_is_left() -> None:
    assert content_words("The mayor of Verrin") == {"mayor", "verrin"}
    assert content_words("The Who") == {"the", "who"}


def test_names_are_capitals_and_numbers_and_not_the_first_word() -> None:
    assert names("Where did Jo Stern live in 1802?", skip_first=True) == {"jo", "stern", "1802"}
    assert names("Verrin", skip_first=True) == frozenset()


def test_a_short_answer_needs_all_its_words_and_a_long_one_most() -> None:
    hits = make_hits(("", "Jo Stern built the old weir of Tolm in six years for the miller."))
    assert ground("Jo Stern", "Who built the weir?", hits, [0]).citations
    assert not ground("Jo Brand", "Who built the weir?", hits, [0]).citations
    assert ground("Jo Stern built it in six years, gladly.", "Who built the weir?", hits, [0]).citations
    assert not ground("Jo hated mills, rain, mud and taxes", "Who built the weir?", hits, [0]).citations


def test_an_answer_in_parts_rests_on_the_cited_passages_together() -> None:
    hits = make_hits(("", "Anna lives in Quell."), ("", "Bert lives in Hask."), ("", "Carl lives in Penn."))
    found = ground("Quell and Hask", "Where do Anna and Bert live?", hits, [0, 1, 2])
    assert [(citation.n, citation.supported) for citation in found.citations] == [(1, True), (2, True)]
    assert found.dropped == 1


def test_yes_claims_what_was_asked() -> None:
    hits = make_hits(("Verrin", "Verrin is known for its glass."), ("", "Ropes are made in Quell."))
    assert ground("Yes", "Is Verrin known for its glass?", hits, [0]).citations
    assert not ground("Yes", "Is Hask known for its cheese?", hits, [0]).citations


def test_a_cited_passage_that_names_what_was_asked_but_ties_to_nothing_is_kept_without_our_word() -> None:
    hits = make_hits(("", "Ada Bree was older than everybody."), ("", "Carl Doe liked tea."))
    found = ground("Ada Bree", "Who was older, Ada Bree or Carl Doe?", hits, [0, 1])
    assert [(citation.n, citation.supported) for citation in found.citations] == [(1, True), (2, False)]


def test_an_answer_in_a_script_without_spaces_is_found() -> None:
    hits = make_hits(("", "東京都の市長は田中花子です。"))
    found = ground("田中花子", "市長は誰ですか？", hits, [0])
    assert [citation.quote for citation in found.citations] == ["東京都の市長は田中花子です。"]


def test_two_sentences_are_quoted_when_one_does_not_hold_the_answer() -> None:
    text = "Rain fell. Jo came from Olt. He left for Tolm. Rain again."
    assert choose_quote(text, {"olt", "tolm"}, "Where?") == "Jo came from Olt. He left for Tolm."


def test_a_quote_is_short_verbatim_and_holds_the_answer_even_without_sentences() -> None:
    text = "word " * 300 + "Quell " + "word " * 300
    quote = choose_quote(text, {"quell"}, "Where?")
    assert quote in text
    assert len(quote) <= MAX_QUOTE_CHARACTERS
    assert "Quell" in quote
    assert quote.startswith("word")
    assert quote.endswith("word")


def test_quotes_of_odd_texts_stay_verbatim() -> None:
    for text in ("", " ", "x" * 5000, "...", "\n\n.\n", "ﬁne　ﬁsh. Ｑuell"):
        assert choose_quote(text, {"quell"}, "?") in text


def test_extraction_prefers_rare_words_and_quotes_one_sentence_a_hit() -> None:
    hits = make_hits(
        ("", "The town has a mayor. The town has a wall."),
        ("", "The town has glass. The town has a beadle named Orm."),
    )
    (citation,) = extract("Who is the beadle of the town?", hits)
    assert (citation.n, citation.quote) == (2, "The town has a beadle named Orm.")
    assert extract("xyzzy", hits) == ()
    assert extract("mayor", []) == ()


def test_condensing_keeps_the_first_and_the_fitting_sentences_and_marks_the_gaps() -> None:
    text = "Verrin is a town. It rains. Its mayor is Jo. Ropes are made. It snows."
    assert condense(text, "Who is the mayor?", sentences=1) == "Verrin is a town. … Its mayor is Jo. …"
    assert condense(text, "Who is the mayor?", sentences=4) == text
    assert condense("Rain. Its mayor is Jo.", "mayor?", sentences=0) == "Rain. …"


def test_a_name_shared_by_chance_makes_no_bridge() -> None:
    hits = make_hits(
        ("Tam Orrel", "Tam Orrel was a painter. He moved to Aldery."),
        ("Hesper Lund", "Hesper Lund was an engineer. She lived with her sister Ida. She studied in Aldery."),
    )
    assert not ground("Ida", "Who was the wife of Tam Orrel?", hits, [1]).citations


@pytest.mark.parametrize(("said", "held"), [("Monday", True), ("lens", True), ("Mon", False), ("190", False)])
def test_an_ending_is_no_other_answer_but_a_shorter_word_or_number_is(said: str, held: bool) -> None:
    hits = make_hits(("", "The museum sells lenses and is closed on Mondays since 1909."))
    assert bool(ground(said, "When is the museum closed?", hits, [0]).citations) is held


def test_half_of_a_name_that_no_hit_knows_is_not_the_name() -> None:
    hits = make_hits(("", "The Tower of Orme was completed in 1871."), ("", "Jo Stern died in 1802 in Olt."))
    assert not ground("1871", "When was the Eiffel Tower completed?", hits, [0]).citations
    assert ground("1871", "When was the Orme Tower completed?", hits, [0]).citations


def test_a_longer_chain_is_joined_where_the_answer_stands_beside_a_name_of_the_question() -> None:
    hits = make_hits(
        ("Pellmoss", "Pellmoss is a town. In 1931 its mayor was Elspet Quill."),
        ("Ada Bree", "Ada Bree was born in Pellmoss. She drew the plans of the Fennay Light."),
    )
    found = ground("Elspet Quill", "Who was mayor in 1931 of the birthplace of the Fennay Light's designer?", hits, [0])
    assert [(citation.n, citation.quote) for citation in found.citations] == [
        (1, "In 1931 its mayor was Elspet Quill."),
        (2, "She drew the plans of the Fennay Light."),
    ]
