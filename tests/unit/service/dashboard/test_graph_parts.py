"""Parts of the page of the graph: its address, its places, its tables, its files."""

from __future__ import annotations

import csv
import itertools
from io import StringIO
from urllib.parse import parse_qsl, urlsplit

import networkx
import numpy as np
import pytest

from memory_graph.errors import InvalidInput
from service.dashboard.graph_export import as_csv, as_graphml, as_json
from service.dashboard.graph_layout import place
from service.dashboard.graph_picture import MANY, legend, options
from service.dashboard.graph_state import Shown, read_shown
from service.dashboard.graph_tables import ROWS, found_phrases, mark, merges_followed, names_shown, ties_shown
from service.inspection_schemas import MergedOut, NameGraphOut, NameNodeOut, PhraseOut, TieOut

MISCHIEF = "=<b>Orla</b>"


def graph_of(names: int) -> NameGraphOut:
    """Return a ring of names, the first with mischief in it."""
    return NameGraphOut(
        names=[
            NameNodeOut(
                id=one, name=MISCHIEF if one == 1 else f"Name {one}", degree=one, distance=0, community=(one - 1) % 10
            )
            for one in range(1, names + 1)
        ],
        ties=[
            TieOut(source=one, target=one % names + 1, kind="passage", weight=2, fact_id=None, predicate=None)
            for one in range(1, names + 1)
        ]
        + [TieOut(source=1, target=2, kind="fact", weight=1, fact_id=9, predicate="met <i>")],
        cut=False,
    )


def test_an_address_tells_all_that_is_shown() -> None:
    shown = Shown(
        phrases=(3, 5),
        members=(7,),
        hidden=(9,),
        community=11,
        chosen=5,
        kinds=("fact", "synonym"),
        least=2,
        steps=2,
        limit=200,
        source="Maren Quill",
        target="a & b",
    )
    address = shown.address("my notes")
    assert address.startswith("/admin/c/my%20notes/graph?")
    assert read_shown(**dict(parse_qsl(urlsplit(address).query))) == shown
    assert Shown().address("x") == "/admin/c/x/graph"
    assert read_shown() == Shown()


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("phrase", "1,x"),
        ("member", "-1"),
        ("chosen", "0"),
        ("limit", "1.5"),
        ("kind", "fact,love"),
        ("hidden", "9" * 30),
    ],
)
def test_an_address_that_makes_no_sense_is_named(field: str, given: str) -> None:
    with pytest.raises(InvalidInput, match=field):
        read_shown(**{field: given})


def test_names_are_expanded_collapsed_removed_and_merged() -> None:
    shown = Shown().with_expanded(1).with_expanded(2)
    assert shown.phrases == (1, 2)
    assert (shown.with_collapsed(1).phrases, shown.with_collapsed(1).members) == ((2,), (1,))
    gone = Shown(phrases=(1,), chosen=1).without(1)
    assert (gone.phrases, gone.hidden, gone.chosen) == ((), (1,), None)
    assert gone.with_expanded(1).hidden == ()
    merged = Shown(phrases=(1, 2), members=(3,), chosen=3).with_merged([2, 3], 1)
    assert (merged.phrases, merged.members, merged.chosen) == ((1,), (1,), 1)


def test_joined_names_stand_nearer_than_others_and_nobody_on_another() -> None:
    names = list(range(1, 61))
    groups = {one: one % 3 for one in names}
    ties = [(one, other, 1.0) for one, other in itertools.combinations(names, 2) if groups[one] == groups[other]]
    spots = place(names, groups, ties)
    assert spots == place(names, groups, ties)
    at = np.array([spots[one] for one in names])
    apart = np.linalg.norm(at[:, None] - at[None], axis=2)
    same = np.array([[groups[one] == groups[other] for other in names] for one in names])
    np.fill_diagonal(apart, np.nan)
    assert np.nanmean(apart[same]) < 0.7 * np.nanmean(apart[~same])
    assert np.nanmin(apart) > 0.1
    assert place([], {}, []) == {}
    assert np.isfinite(place([7], {7: 0}, [])[7]).all()


def test_what_comes_later_leaves_what_is_there_in_its_place() -> None:
    names = list(range(1, 31))
    ties = [(one, one + 1, 1.0) for one in names[:-1]]
    before = place(names, dict.fromkeys(names, 0), ties)
    more = [*names, 31, 32]
    after = place(more, dict.fromkeys(more, 0), [*ties, (1, 31, 1.0), (31, 32, 1.0)], before)
    size = np.ptp(np.array(list(before.values())), axis=0).max()
    moved = max(np.hypot(*np.subtract(before[one], after[one])) for one in names)
    assert moved < 0.25 * size
    assert np.hypot(*np.subtract(after[31], after[1])) < 0.6 * size


def test_a_picture_draws_every_name_and_labels_few_of_many() -> None:
    small, large = graph_of(12), graph_of(MANY + 1)
    for graph in (small, large):
        spots = {one.id: (0.0, float(one.id)) for one in graph.names}
        (series,) = options(graph, spots, opened={1}, chosen=2)["series"]
        assert [one["id"] for one in series["data"]] == [str(one.id) for one in graph.names]
        assert len(series["links"]) == len(graph.ties)
        labelled = sum(one.get("label", {}).get("show", False) for one in series["data"])
        assert labelled == (12 if graph is small else 41)  # the chosen one too
    assert "Synonyms" not in legend(small)


def test_what_the_memory_says_is_text_in_tables_and_marks() -> None:
    graph = graph_of(ROWS + 1)
    for html in (names_shown(graph, {1}, 0), ties_shown(graph, 1), legend(graph)):
        assert "<b>" not in html
        assert "<i>" not in html
    assert 'aria-label="Collapse =&lt;b&gt;Orla&lt;/b&gt;"' in names_shown(graph, {1}, 0)
    assert "1 to 10 of 11" in names_shown(graph, set(), 0)
    assert 'data-act="names-page" data-id="1"' in names_shown(graph, set(), 0)
    assert "11 to 11 of 11" in names_shown(graph, set(), 1)


def test_names_are_marked_whatever_their_case_and_white_space_and_only_as_whole_words() -> None:
    assert mark("<Ann>\nQuill and ANN quill, not Annie or Ann", ["Ann Quill", "Ann"]) == (
        "&lt;<mark>Ann</mark>&gt;\nQuill and <mark>ANN quill</mark>, not Annie or <mark>Ann</mark>"
    )
    assert mark("a (b) c", ["(b)"]) == "a <mark>(b)</mark> c"
    assert mark("a & b", ["", "  "]) == "a &amp; b"


def test_files_hold_what_is_shown() -> None:
    graph = graph_of(12)
    assert NameGraphOut.model_validate_json(as_json(graph)) == graph
    read = networkx.parse_graphml(as_graphml(graph), force_multigraph=True)
    assert (read.number_of_nodes(), read.number_of_edges()) == (12, 13)
    assert read.nodes["phrase:1"] == {"kind": "phrase", "name": MISCHIEF, "degree": 1, "community": 0}
    rows = list(csv.DictReader(StringIO(as_csv(graph))))
    assert len(rows) == 13
    assert rows[0]["from"] == f"'{MISCHIEF}"  # no formula of a spreadsheet
    assert (rows[-1]["kind"], rows[-1]["predicate"], rows[-1]["from_id"]) == ("fact", "met <i>", "1")


def test_the_page_says_what_a_merged_name_became() -> None:
    followed = merges_followed([MergedOut(id=one, into=3, name=MISCHIEF) for one in (1, 2)])
    assert followed.count("was merged into =&lt;b&gt;Orla&lt;/b&gt;") == 1
    found = [PhraseOut(id=3, name=MISCHIEF, key="b orla b", degree=2)]
    assert "what this name was merged into, 2 passages" in found_phrases("default", found, "maren", beside=False)
    assert "merged" not in found_phrases("default", found, "b or", beside=False)
