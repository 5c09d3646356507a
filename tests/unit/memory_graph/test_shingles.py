"""What makes two texts the same, and what makes them alike."""

from __future__ import annotations

import pytest

from memory_graph.shingles import fold_text, measure_overlap, shingle


@pytest.mark.parametrize("other", ["The  old\tMILL\n", "the old mill", "Ｔhe old mill"])
def test_white_space_case_and_unicode_form_do_not_count(other: str) -> None:
    assert fold_text(other) == fold_text("The old mill")


@pytest.mark.parametrize("other", ["The old mill.", "The old mill -5", "Theold mill"])
def test_everything_else_counts(other: str) -> None:
    assert fold_text(other) != fold_text("The old mill")


def test_shingles_are_runs_of_three_words_each_once() -> None:
    assert len(shingle("one two three four one two three")) == 4
    assert len(shingle("one two")) == len(shingle("")) == 0
    assert shingle("One, two: THREE!").tolist() == shingle("one two three").tolist()
    assert shingle("three two one").tolist() != shingle("one two three").tolist()


def test_a_script_without_spaces_is_cut_into_characters() -> None:
    one, other = shingle("長い橋の下で魚が泳いでいる"), shingle("長い橋の下で鳥が泳いでいる")
    assert len(one) == 11
    assert measure_overlap(one, other) == 8 / 14
    assert len(shingle("ที่นี่มีปลา")) > 0


def test_overlap_is_what_is_shared_of_all() -> None:
    one, other = shingle("a b c d e"), shingle("b c d e f")
    assert measure_overlap(one, other) == 2 / 4
    assert measure_overlap(one, one) == 1
    assert measure_overlap(shingle(""), shingle("")) == 0
