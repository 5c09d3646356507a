"""Views as files: what was saved is loaded, what was damaged is set aside, and one process saves at a time."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pytest

from memory_graph.database import Database
from retrieval import saved_views as saved_views_module
from retrieval.index import IndexParams, PassageIndex
from retrieval.saved_views import FORMAT, MANIFEST, DamagedView, SavedViews, load_view
from retrieval.view import View, compacted
from tests.unit.factories import (
    EMBEDDER,
    SENTENCES,
    commit_documents,
    forget_document,
    learn_document,
    new_collection,
)
from tests.unit.views import assert_same_view, assert_up_to_date, fresh

QUERY = EMBEDDER.encode(["Ada Quill likes the Old Mill"])[0]


@pytest.fixture
def view(database: Database) -> View:
    """A view of all kinds of rows, some of them dead."""
    cid = new_collection(database).id
    commit_documents(
        database, cid, learn_document("a", *SENTENCES), learn_document("b", *SENTENCES[:3]), learn_document("empty")
    )
    start = fresh(database)
    commit_documents(database, cid, learn_document("c", "Dunmore likes Lake Orrin.", "Mount Ulver."))
    forget_document(database, cid, "b")
    return fresh(database, start)


@pytest.fixture
def saves(tmp_path: Path) -> SavedViews:
    return SavedViews(tmp_path / "views" / "1")


def names_of(saves: SavedViews) -> set[str]:
    """Return what lies in the folder, the lease apart."""
    return {path.name for path in saves.folder.iterdir() if path.name != ".lease"}


def test_what_was_saved_is_loaded(database: Database, saves: SavedViews, view: View) -> None:
    place = saves.save(compacted(view))
    loaded = saves.newest()
    assert loaded is not None
    assert (loaded.version, loaded.token) == (view.version, view.token)
    assert_same_view(loaded, view)
    assert_up_to_date(loaded, database)
    assert names_of(saves) == {place.name}
    assert saves.newest_version() == view.version
    forget_document(database, 1, "a")
    commit_documents(database, 1, learn_document("d", "Ada Quill is back."))
    assert_up_to_date(fresh(database, loaded), database)


def test_nothing_was_saved(saves: SavedViews) -> None:
    assert saves.newest() is None
    assert saves.newest_version() == 0
    assert not saves.folder.exists()


def test_only_a_compacted_view_can_be_saved(saves: SavedViews, view: View) -> None:
    with pytest.raises(ValueError, match="compacted"):
        saves.save(view)
    assert names_of(saves) == set()


@pytest.mark.parametrize("texts", [[], ["it rained"]])
def test_a_view_without_passages_or_without_names_is_saved(
    database: Database, saves: SavedViews, texts: list[str]
) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", *texts))
    saves.save(compacted(fresh(database)))
    loaded = saves.newest()
    assert loaded is not None
    assert_up_to_date(loaded, database)
    commit_documents(database, cid, learn_document("b", "Ada Quill likes Bram Oster."))
    assert_up_to_date(fresh(database, loaded), database)


def test_a_view_of_which_everything_was_forgotten_is_saved(database: Database, saves: SavedViews, view: View) -> None:
    for key in ("a", "c", "empty"):
        forget_document(database, 1, key)
    saves.save(compacted(fresh(database, view)))
    loaded = saves.newest()
    assert loaded is not None
    assert len(loaded.passages) == len(loaded.phrases) == 0
    commit_documents(database, 1, learn_document("a", *SENTENCES))
    assert_up_to_date(fresh(database, loaded), database)


def test_a_newer_save_replaces_the_older_ones(database: Database, saves: SavedViews, view: View) -> None:
    older = saves.save(compacted(view))
    loaded = saves.newest()
    assert loaded is not None
    commit_documents(database, 1, learn_document("d", "Cora Finch came."))
    newer = saves.save(compacted(fresh(database, view)))
    assert names_of(saves) == {newer.name}
    assert not older.exists()
    # Whoever loaded the older one keeps what it has mapped.
    assert_same_view(loaded, view)
    assert loaded.index.search(QUERY, 3)[0].tolist() == compacted(view).index.search(QUERY, 3)[0].tolist()
    assert_up_to_date(fresh(database, loaded), database)


def test_a_save_that_fails_leaves_the_older_one(saves: SavedViews, view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    place = saves.save(compacted(view))

    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        with pytest.raises(OSError, match="No space"):
            saves.save(replace(compacted(view), version=view.version + 1))
    assert names_of(saves) == {place.name}
    assert saves.newest() is not None


Damage = Callable[[Path], None]


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def cut_one_byte(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def flip(share: float) -> Damage:
    def flip_byte(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[int(share * (len(content) - 1))] ^= 0x10
        path.write_bytes(content)

    return flip_byte


DAMAGES: dict[str, Damage] = {
    "truncated": truncate,
    "cut": cut_one_byte,
    "empty": empty,
    "longer": lengthen,
    "first byte": flip(0),
    "header": flip(0.3),
    "middle": flip(0.5),
    "last byte": flip(1),
    "missing": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_detected_whichever_it_is(
    saves: SavedViews, view: View, damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    place = saves.save(compacted(view))
    kept = saves.folder.parent / "kept"
    shutil.copytree(place, kept)
    files = sorted(path.relative_to(place) for path in place.rglob("*") if path.is_file())
    assert len(files) > 20
    for file in files:
        damage(place / file)
        caplog.clear()
        assert saves.newest() is None, file
        aside = f"damaged-{place.name}"
        assert names_of(saves) == {aside}, file
        (warned,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert place.name in warned
        assert aside in warned
        shutil.copytree(kept, place)
    assert saves.newest() is not None


def test_a_save_that_cannot_be_read_is_passed_over(
    saves: SavedViews, view: View, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    place = saves.save(compacted(view))

    def refuse(_path: Path) -> str:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(saved_views_module, "_checksum", refuse)
        assert saves.newest() is None
    assert "Too many open files" in caplog.text
    assert names_of(saves) == {place.name}
    assert saves.newest() is not None


def test_any_bit_of_a_manifest_that_is_flipped_is_harmless(saves: SavedViews, view: View) -> None:
    place = saves.save(compacted(view))
    content = (place / MANIFEST).read_bytes()
    chance = np.random.default_rng(3)
    head = range(content.index(b'"files"') + 12)
    for at in [*head, *chance.choice(len(content), 60, replace=False).tolist()]:
        for bit in chance.choice(8, 2, replace=False).tolist():
            changed = bytearray(content)
            changed[at] ^= 1 << bit
            place.mkdir(exist_ok=True)
            (place / MANIFEST).write_bytes(changed)
            loaded = saves.newest()
            if loaded is None:
                shutil.move(saves.folder / f"damaged-{place.name}", place)
            else:  # a space became another one
                assert (loaded.version, loaded.token) == (view.version, view.token)


MANIFESTS: dict[str, Callable[[dict[str, object]], object]] = {
    "empty": lambda manifest: "",
    "not JSON": lambda manifest: "{",
    "a list": lambda manifest: [],
    "an empty object": lambda manifest: {},
    "another format": lambda manifest: manifest | {"format": FORMAT + 1},
    "no version": lambda manifest: {name: value for name, value in manifest.items() if name != "version"},
    "a later version": lambda manifest: manifest | {"version": 99},
    "version 0": lambda manifest: manifest | {"version": 0, "token": ""},
    "a version that is no number": lambda manifest: manifest | {"version": "2"},
    "another token": lambda manifest: manifest | {"token": "f" * 32},
    "no files": lambda manifest: manifest | {"files": {}},
    "files in a list": lambda manifest: manifest | {"files": []},
    "a file less": lambda manifest: (
        manifest | {"files": {name: one for name, one in manifest["files"].items() if name != "orders.npy"}}
    ),  # type: ignore[attr-defined]
}


@pytest.mark.parametrize("change", MANIFESTS.values(), ids=MANIFESTS)
def test_a_manifest_that_makes_no_sense_is_damage(
    saves: SavedViews, view: View, change: Callable[[dict[str, object]], object], caplog: pytest.LogCaptureFixture
) -> None:
    place = saves.save(compacted(view))
    changed = change(json.loads((place / MANIFEST).read_text()))
    (place / MANIFEST).write_text(changed if isinstance(changed, str) else json.dumps(changed))
    assert saves.newest() is None
    assert names_of(saves) == {f"damaged-{place.name}"}
    assert "damaged" in caplog.text


def test_a_wrong_token_is_another_history(
    database: Database, saves: SavedViews, view: View, caplog: pytest.LogCaptureFixture
) -> None:
    saves.save(replace(compacted(view), token="f" * 32))
    loaded = saves.newest()
    assert loaded is not None
    again = fresh(database, loaded)
    assert "another history" in caplog.text
    assert not again.rests_on(loaded)
    assert_up_to_date(again, database)


def test_an_older_good_save_is_taken_where_the_newest_is_damaged(
    database: Database, saves: SavedViews, view: View
) -> None:
    older = saves.save(compacted(view))
    kept = saves.folder.parent / older.name
    shutil.copytree(older, kept)
    commit_documents(database, 1, learn_document("d", "Cora Finch came."))
    newer = saves.save(compacted(fresh(database, view)))
    shutil.move(kept, older)  # as where a process was killed before it removed the older one
    truncate(newer / "orders.npy")
    loaded = saves.newest()
    assert loaded is not None
    assert loaded.version == view.version
    assert names_of(saves) == {older.name, f"damaged-{newer.name}"}
    assert_up_to_date(fresh(database, loaded), database)


def test_the_last_damaged_save_is_kept_to_be_looked_at(saves: SavedViews, view: View) -> None:
    for _ in range(3):
        place = saves.save(compacted(view))
        truncate(place / "orders.npy")
        assert saves.newest() is None
        assert names_of(saves) == {f"damaged-{place.name}"}
    place = saves.save(compacted(view))
    assert saves.newest() is not None


def test_files_of_other_names_are_left_alone(saves: SavedViews, view: View) -> None:
    place = saves.save(compacted(view))
    (saves.folder / "2024 notes").mkdir()
    (saves.folder / "7.txt").write_text("a note")
    (saves.folder / "readme").write_text("a note")
    assert saves.newest() is not None
    newer = saves.save(compacted(view))
    assert names_of(saves) == {newer.name, "2024 notes", "7.txt", "readme"}
    assert not place.exists()


@pytest.fixture
def large(tmp_path: Path) -> View:
    """A view with a segment, which is a file of FAISS."""
    chance = np.random.default_rng(5)
    centres = chance.standard_normal((40, 16))
    vectors = centres[chance.integers(0, 40, 2500)] + 0.3 * chance.standard_normal((2500, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = PassageIndex.of(vectors.astype(np.float16), IndexParams(seal_at=500)).sealed()
    assert index.segments[0].index is not None
    return replace_index(index)


def replace_index(index: PassageIndex) -> View:
    """Return a view of passages without names over an index."""
    from memory_graph.graph import Mentions, Relations, Synonyms, build_graph
    from memory_graph.growing import Growing
    from retrieval.view import empty_view

    rows = Growing.of(np.arange(1, len(index) + 1))
    graph = build_graph(Mentions.none(), Relations.none(), Synonyms.none(), n_passages=len(index), n_phrases=0)
    return replace(
        empty_view(), version=1, token="t", passages=rows, documents=rows, orders=rows, index=index, graph=graph
    )


def test_a_segment_is_loaded_and_its_damage_seen(saves: SavedViews, large: View) -> None:
    query = np.ones(16, dtype=np.float32) / 4
    place = saves.save(large)
    loaded = saves.newest()
    assert loaded is not None
    assert loaded.index.segments[0].index is not None
    assert loaded.index.search(query, 20)[0].tolist() == large.index.search(query, 20)[0].tolist()
    (file,) = place.rglob("*.faiss")
    flip(0.5)(file)
    assert saves.newest() is None


def test_a_save_that_another_process_replaces_meanwhile_is_no_damage(
    saves: SavedViews, large: View, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Between the look into the folder, the checksums and the mapping of any file, the newer one takes its place."""
    steps = [(saved_views_module, "_read_manifest"), (saved_views_module, "_map"), (faiss, "read_index")]
    for version, (module, function) in enumerate(steps, start=2):
        saves.save(replace(large, version=version - 1))
        real, done = getattr(module, function), []

        def replacing(*args: object, real: Callable[..., object] = real, done: list[int] = done) -> object:
            if not done:
                done.append(saves.save(replace(large, version=version)) is not None)  # noqa: B023
            return real(*args)

        with monkeypatch.context() as patch:
            patch.setattr(module, function, replacing)
            loaded = saves.newest()
        assert done
        assert loaded is not None
        assert loaded.version == version
        assert not [name for name in names_of(saves) if "damaged" in name]
    assert caplog.text == ""


def test_a_load_says_what_is_wrong(saves: SavedViews, view: View) -> None:
    place = saves.save(compacted(view))
    cut_one_byte(place / "index" / "vectors.npy")
    with pytest.raises(DamagedView, match=r"index/vectors\.npy is not what was written"):
        load_view(place)


def test_one_holds_the_lease(saves: SavedViews) -> None:
    with saves.lease() as ours, SavedViews(saves.folder).lease() as theirs:
        assert (ours, theirs) == (True, False)
    with SavedViews(saves.folder).lease() as theirs:
        assert theirs


def test_the_lease_ends_with_an_error(saves: SavedViews) -> None:
    with pytest.raises(RuntimeError, match="oh"), saves.lease():
        raise RuntimeError("oh")
    with saves.lease() as ours:
        assert ours


def test_another_process_holds_the_lease_until_it_is_killed(saves: SavedViews, view: View) -> None:
    saves.save(compacted(view))
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from retrieval.saved_views import SavedViews\n"
        "folder = Path(sys.argv[1])\n"
        "with SavedViews(folder).lease() as ours:\n"
        "    (folder / '.writing-half').mkdir()\n"
        "    (folder / '.writing-half' / 'orders.npy').write_bytes(b'half')\n"
        "    print(ours, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]}
    with subprocess.Popen(
        [sys.executable, "-c", script, str(saves.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        with saves.lease() as ours:
            assert not ours
        assert (saves.folder / ".writing-half").exists()  # it is still at work
        assert saves.newest() is not None
        other.kill()
    with saves.lease() as ours:
        assert ours
        assert not (saves.folder / ".writing-half").exists()
