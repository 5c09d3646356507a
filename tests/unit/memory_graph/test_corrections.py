"""Corrections: what they make of names and facts, that they can be undone, and what forgetting leaves of them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select

from memory_graph.corrections import Found, Merge, Retract, Split, aliases_of, put_right
from memory_graph.database import Database
from memory_graph.errors import Conflict, InvalidInput, NotFound
from memory_graph.store.correcting import Correction, get_correction, list_corrections
from memory_graph.store.extractions import known_extractions
from memory_graph.store.forgetting import Selection, forget
from memory_graph.store.probing import every_value
from memory_graph.tables import originals
from tests.unit.factories import (
    commit_documents,
    content_of,
    correct,
    embed_names,
    find_collection,
    learn_document,
    new_collection,
    undo_correction,
)

US = learn_document("us", "US likes Mexico. US borders Mexico.", "The US and Canada.")
STATES = learn_document("states", "United States likes Mexico.", "United States likes Canada.")
FACT = ("us", "likes", "mexico")


def mentioned(database: Database) -> dict[str, list[tuple[str, int, str, int]]]:
    """Return (document, passage, surface, count) of each phrase that is mentioned."""
    found: dict[str, list[tuple[str, int, str, int]]] = {}
    for ((document, ordinal), key), (surface, count) in content_of(database)["mentions"].items():
        found.setdefault(key, []).append((document, ordinal, surface, count))
    return {key: sorted(rows) for key, rows in found.items()}


def facts_of(database: Database) -> list[tuple[str, str, str]]:
    facts: list[tuple[str, str, str]] = content_of(database)["facts"]
    return facts


def drop(database: Database, *keys: str) -> None:
    cid = find_collection(database).id
    for key in keys:
        with database.write() as connection:
            forget(connection, cid, Selection(key=key))


def read(database: Database, correction_id: int) -> Correction:
    with database.read() as connection:
        return get_correction(connection, find_collection(database).id, correction_id)


@pytest.fixture
def cid(database: Database) -> int:
    made = new_collection(database).id
    commit_documents(database, made, US, STATES)
    return made


def test_merged_names_are_one_phrase_with_the_mentions_and_facts_of_all(database: Database, cid: int) -> None:
    version = find_collection(database).version
    made = correct(database, cid, "merge", names=["US", "The US"], into="United States")
    assert (made.version, made.passages, made.state, made.made_by) == (version + 1, 2, "active", "test")
    found = find_collection(database)
    assert (found.version, found.compacted_version) == (version + 1, version + 1)
    assert mentioned(database)["united states"] == [
        ("states", 0, "United States", 1),
        ("states", 1, "United States", 1),
        ("us", 0, "US", 2),
        ("us", 1, "The US", 1),
    ]
    assert "us" not in mentioned(database)
    assert facts_of(database) == [("united states", "likes", "canada"), ("united states", "likes", "mexico")]
    assert ("united states", "likes", "mexico") in content_of(database)["fact_embeddings"]


def test_a_merge_holds_for_what_is_learned_later_and_for_what_is_learned_again(database: Database, cid: int) -> None:
    correct(database, cid, "merge", names=["US"], into="United States")
    commit_documents(database, cid, learn_document("later", "US likes Peru."))
    assert ("united states", "likes", "peru") in facts_of(database)
    drop(database, "us")
    commit_documents(database, cid, US)
    assert "us" not in mentioned(database)


def test_merging_a_name_with_what_it_is_related_to_leaves_no_fact_about_itself(database: Database, cid: int) -> None:
    correct(database, cid, "merge", names=["Mexico"], into="US")
    assert ("us", "likes", "us") not in facts_of(database)
    assert ("united states", "likes", "us") in facts_of(database)


def test_a_name_is_split_by_documents(database: Database, cid: int) -> None:
    correct(database, cid, "split", name="Mexico", into="Mexico, Missouri", documents=["states"])
    assert [row[0] for row in mentioned(database)["mexico missouri"]] == ["states"]
    assert [row[0] for row in mentioned(database)["mexico"]] == ["us"]
    assert ("united states", "likes", "mexico missouri") in facts_of(database)
    assert FACT in facts_of(database)


def test_a_name_is_split_by_how_it_is_written(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(
        database, cid, learn_document("a", "Mercury likes Sol."), learn_document("b", "MERCURY likes Ray.")
    )
    correct(database, cid, "split", name="mercury", into="Freddie Mercury", surface="MERCURY")
    assert facts_of(database) == [("freddie mercury", "likes", "ray"), ("mercury", "likes", "sol")]


def test_a_fact_is_retracted_everywhere_or_in_documents(database: Database, cid: int) -> None:
    commit_documents(database, cid, learn_document("again", "US likes Mexico."))
    first = correct(database, cid, "retract", subject="US", predicate="likes", object="Mexico", documents=["us"])
    sources = content_of(database)["fact_sources"]
    assert [place for fact, place in sources if fact == FACT] == [("again", 0)]
    correct(database, cid, "retract", subject="US", predicate="likes", object="Mexico")
    assert FACT not in facts_of(database)
    assert "us" in mentioned(database)  # the names stand there all the same
    commit_documents(database, cid, learn_document("third", "US likes Mexico."))
    assert FACT not in facts_of(database)
    assert first.passages == 1


def test_undoing_restores_what_the_living_texts_say(database: Database, cid: int) -> None:
    alone = new_collection(database, "alone").id
    commit_documents(database, alone, US, learn_document("later", "US likes Peru."))
    one = correct(database, cid, "merge", names=["US", "United States"], into="America")
    other = correct(database, cid, "retract", subject="America", predicate="likes", object="Mexico")
    commit_documents(database, cid, learn_document("later", "US likes Peru."))
    drop(database, "states")
    undone = undo_correction(database, cid, one.id)
    assert (undone.state, undone.undone_by, undone.undone_at is not None) == ("undone", "test", True)
    undo_correction(database, cid, other.id)
    assert content_of(database) == content_of(database, "alone")
    with database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(originals)) == 0
    with pytest.raises(Conflict, match="undone"):
        undo_correction(database, cid, one.id)


def test_vectors_of_names_come_back(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, embed_names(US))

    def vectors() -> dict[str, bytes]:
        from memory_graph.tables import phrase_embeddings, phrases

        with database.read() as connection:
            query = select(phrases.c.key, phrase_embeddings.c.vector)
            rows = connection.execute(query.join(phrases, phrases.c.id == phrase_embeddings.c.phrase_id))
            return {key: vector for key, vector in rows}

    before = vectors()
    made = correct(database, cid, "merge", names=["Mexico"], into="Estados Unidos Mexicanos")
    assert "estados unidos mexicanos" in vectors()
    assert "mexico" not in vectors()
    undo_correction(database, cid, made.id)
    assert vectors() == before


def test_the_extraction_of_a_corrected_passage_is_not_taken_for_what_was_found(database: Database, cid: int) -> None:
    hashes = [one.text_hash for one in US.passages]
    correct(database, cid, "merge", names=["US"], into="United States")
    with database.read() as connection:
        assert set(known_extractions(connection, cid, hashes, "capitals")) == {hashes[1]}


@pytest.mark.parametrize(
    ("kind", "what", "field"),
    [
        ("merge", {"into": "A"}, "names"),
        ("merge", {"names": ["US", "!"], "into": "A"}, "names.1"),
        ("merge", {"names": ["US"], "into": "us"}, "names.0"),
        ("merge", {"names": ["US"], "into": "A", "surface": "x"}, "surface"),
        ("merge", {"names": ["US"] * 101, "into": "A"}, "names"),
        ("split", {"name": "US", "into": "A"}, "surface"),
        ("split", {"name": "US", "into": "U.S.", "documents": []}, "surface"),
        ("split", {"name": "US", "into": "...", "surface": "US"}, "into"),
        ("split", {"name": "US", "into": "us!", "surface": "US"}, "into"),
        ("retract", {"subject": "US", "object": "Mexico"}, "predicate"),
        ("retract", {"subject": "?", "predicate": "likes", "object": "Mexico"}, "subject"),
    ],
)
def test_what_makes_no_sense_is_refused_by_field(
    database: Database, cid: int, kind: Any, what: dict[str, Any], field: str
) -> None:
    before = find_collection(database).version
    with pytest.raises(InvalidInput) as raised:
        correct(database, cid, kind, **what)
    assert raised.value.field == field
    assert find_collection(database).version == before


@pytest.mark.parametrize(
    ("kind", "what", "missing"),
    [
        ("merge", {"names": ["Nobody"], "into": "US"}, "phrase"),
        ("split", {"name": "US", "into": "A", "documents": ["nowhere"]}, "document"),
        ("split", {"name": "US", "into": "A", "surface": "us"}, "surface form"),
        ("retract", {"subject": "US", "predicate": "hates", "object": "Mexico"}, "fact"),
    ],
)
def test_what_is_not_there_cannot_be_corrected(
    database: Database, cid: int, kind: Any, what: dict[str, Any], missing: str
) -> None:
    with pytest.raises(NotFound) as raised:
        correct(database, cid, kind, **what)
    assert raised.value.kind == missing


def test_corrections_are_listed_newest_first_and_filtered(database: Database, cid: int) -> None:
    one = correct(database, cid, "merge", names=["US"], into="United States")
    two = correct(database, cid, "merge", names=["Canada"], into="Kanata")
    undo_correction(database, cid, one.id)

    def ids(**which: Any) -> list[int]:
        with database.read() as connection:
            return [one.id for one in list_corrections(connection, cid, limit=10, **which)]

    assert ids() == [two.id, one.id]
    assert ids(before=two.id) == [one.id]
    assert ids(state="active") == [two.id]
    assert ids(kind="split") == []


def test_rules_go_in_the_order_in_which_they_were_made() -> None:
    found = Found(mentions={"a": ("A", 1), "b": ("B", 2)}, facts=[("a", "is", "c")])
    first, then = Merge(names=frozenset("a"), into="b"), Merge(names=frozenset("b"), into="c")
    assert put_right(found, [first, then], "d")[0] == Found(mentions={"c": ("B", 3)}, facts=[])
    assert put_right(found, [then, first], "d")[0].mentions == {"c": ("B", 2), "b": ("A", 1)}
    back = Split(name="b", into="a", surface="A")
    assert put_right(found, [first, back], "d") == (
        Found(mentions={"b": ("B", 2), "a": ("A", 1)}, facts=[("a", "is", "c")]),
        True,
    )
    retracted = Retract(fact=("b", "is", "c"))
    assert put_right(found, [first, retracted], "d")[0].facts == []
    assert put_right(found, [retracted, first], "d")[0].facts == [("b", "is", "c")]
    assert put_right(found, [Retract(fact=("a", "is", "c"), documents=frozenset("x"))], "d") == (found, False)


# Forgetting

SECRET = learn_document("secret", "Zorblax Quend likes Ada Quill.", "Ada Quill likes Mexico.")


def everything(database: Database) -> str:
    with database.read() as connection:
        return "\n".join(data.decode("utf-8", "replace") for _, data in every_value(connection)).casefold()


def test_a_correction_whose_names_only_a_forgotten_document_had_loses_its_words(database: Database, cid: int) -> None:
    commit_documents(database, cid, SECRET)
    gone = correct(database, cid, "merge", names=["US"], into="Zorblax Quend")
    kept = correct(database, cid, "merge", names=["Canada"], into="Kanata")
    assert mentioned(database)["zorblax quend"]
    drop(database, "secret")
    assert "zorblax" not in everything(database)
    found = read(database, gone.id)
    assert (found.state, found.what, found.kind, found.made_by) == ("forgotten", {}, "merge", "test")
    assert read(database, kept.id) == kept
    assert "us" in mentioned(database)  # the merge does not stand any more
    with pytest.raises(Conflict, match="forgotten"):
        undo_correction(database, cid, gone.id)


def test_of_a_correction_that_names_others_too_only_what_is_gone_goes(database: Database, cid: int) -> None:
    commit_documents(database, cid, SECRET)
    merged = correct(database, cid, "merge", names=["Zorblax Quend", "US"], into="United States")
    split = correct(database, cid, "split", name="Mexico", into="New Mexico", documents=["secret", "us"])
    drop(database, "secret")
    assert read(database, merged.id).what == {"names": ["US"], "into": "United States"}
    assert read(database, split.id).what["documents"] == ["us"]
    assert "us" not in mentioned(database)
    assert "zorblax" not in everything(database)
    assert "secret" not in everything(database).replace("secretary", "")


def test_undone_corrections_and_retracted_facts_are_forgotten_too(database: Database, cid: int) -> None:
    commit_documents(database, cid, SECRET)
    undone = correct(database, cid, "merge", names=["Zorblax Quend"], into="US")
    undo_correction(database, cid, undone.id)
    retracted = correct(database, cid, "retract", subject="Ada Quill", predicate="likes", object="Mexico")
    other = correct(database, cid, "retract", subject="US", predicate="likes", object="Mexico")
    drop(database, "secret")
    assert [read(database, one.id).state for one in (undone, retracted, other)] == ["forgotten", "forgotten", "active"]
    assert "ada quill" not in everything(database)


def test_a_fact_that_others_state_keeps_its_correction(database: Database, cid: int) -> None:
    commit_documents(database, cid, learn_document("again", "US likes Mexico."))
    made = correct(database, cid, "retract", subject="US", predicate="likes", object="Mexico")
    drop(database, "us")
    assert read(database, made.id) == made
    drop(database, "again")
    assert read(database, made.id).state == "forgotten"


def test_forgetting_everything_forgets_all_corrections(database: Database, cid: int) -> None:
    made = correct(database, cid, "merge", names=["Canada"], into="Kanata")
    with database.write() as connection:
        forget(connection, cid, Selection(everything=True))
    assert read(database, made.id).state == "forgotten"
    assert "kanata" not in everything(database)
    commit_documents(database, cid, US)
    assert "canada" in mentioned(database)


def test_trying_to_forget_leaves_corrections_alone(database: Database, cid: int) -> None:
    commit_documents(database, cid, SECRET)
    made = correct(database, cid, "merge", names=["Zorblax Quend"], into="US")
    content = content_of(database)
    with database.write() as connection:
        forget(connection, cid, Selection(key="secret"), dry_run=True)
    assert read(database, made.id) == made
    assert content_of(database) == content


def test_what_became_of_merged_names_follows_all_merges_in_their_order() -> None:
    rules = [
        Merge(names=frozenset({"us", "usa"}), into="america"),
        Split(name="usa", into="us army", surface="USA"),
        Merge(names=frozenset({"america"}), into="united states"),
        Merge(names=frozenset({"usa"}), into="elsewhere"),  # too late: there is none any more
        Retract(fact=FACT),
    ]
    assert aliases_of(rules) == {"us": "united states", "usa": "united states", "america": "united states"}
    assert aliases_of([]) == {}
    assert aliases_of([Merge(names=frozenset({"a"}), into="b"), Merge(names=frozenset({"b"}), into="a")]) == {"b": "a"}
