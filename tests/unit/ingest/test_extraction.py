"""Names and facts with the real tagger, and the child process in which it runs."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import pytest

from ingest.extraction import ExtractionParams, Extractor, SpacyExtractor
from ingest.extraction_pool import Extracted, ExtractionPool
from memory_graph.text import MAX_NAME_WORDS, clean_name
from memory_graph.types import Mention, Triple
from tests.unit.factories import wait_until

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def extractor(extractor_folder: Path) -> Extractor:
    return SpacyExtractor(extractor_folder)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("the Royal Society", "Royal Society"),
        ("The Royal Society's", "Royal Society"),
        ("Hesper Lund’s", "Hesper Lund"),
        ("  New\n York\tCity ", "New York City"),
        ('"Hesper Lund",', "Hesper Lund"),
        ("the Hague", "the Hague"),  # two words: the article may well belong to the name
        ("A Winter Tale", "Winter Tale"),
        ("Anne of Cleves", "Anne of Cleves"),
        ("**", ""),
        ("", ""),
        ("(Quell)", "Quell"),
        ("St. Ives", "St. Ives"),
        ("Washington D.C.", "Washington D.C"),
    ],
)
def test_names_are_cleaned(text: str, name: str) -> None:
    assert clean_name(text) == name


def test_names_of_a_text_are_counted(extractor: Extractor) -> None:
    text = (
        "Hesper Lund was born in Quell. Marta Vane married Oskar Brandt in Prague. "
        "In spring they left Prague, and Marta Vane saw Norway."
    )
    (found,) = extractor.extract([text])
    counts = {mention.text: mention.count for mention in found.mentions}
    assert counts["Hesper Lund"] == 1
    assert counts["Marta Vane"] == 2
    assert counts["Prague"] == 2
    assert counts["Norway"] == 1


def test_amounts_and_ordinals_are_no_names(extractor: Extractor) -> None:
    text = "In London she paid $500 for 12 chairs, 20 percent more than the first time at nine o'clock, 40 miles away."
    (found,) = extractor.extract([text])
    assert [mention.text for mention in found.mentions] == ["London"]


def test_a_fact_in_the_passive_and_one_in_the_active(extractor: Extractor) -> None:
    passive, active = extractor.extract(["Hesper Lund was born in Quell.", "Oskar Brandt visited Norway."])
    assert passive.triples == (Triple("Hesper Lund", "was born in", "Quell"),)
    assert passive.mentions == (Mention("Hesper Lund", 1), Mention("Quell", 1))
    assert active.triples == (Triple("Oskar Brandt", "visited", "Norway"),)


def test_coordinated_subjects_each_get_the_fact(extractor: Extractor) -> None:
    (found,) = extractor.extract(["Marta Vane and Oskar Brandt visited Norway."])
    assert set(found.triples) == {
        Triple("Marta Vane", "visited", "Norway"),
        Triple("Oskar Brandt", "visited", "Norway"),
    }


@pytest.mark.parametrize("text", ["", "   \n ", "nothing here is named, and it rains.", "?!", "a" * 5000])
def test_a_text_without_names_gives_nothing(extractor: Extractor, text: str) -> None:
    (found,) = extractor.extract([text])
    assert found.triples == ()
    assert all(len(mention.text) > 1 for mention in found.mentions)
    if len(text) < 100:
        assert found.mentions == ()


def test_texts_come_back_in_order_and_independent_of_their_neighbours(extractor: Extractor) -> None:
    texts = ["Oskar Brandt visited Norway.", "", "Marta Vane left Prague.", "it rains"] * 40
    together = extractor.extract(texts)
    assert together == [extractor.extract([text])[0] for text in texts[:4]] * 40
    assert extractor.extract([]) == []


def test_no_name_is_longer_than_a_question_can_match(extractor: Extractor) -> None:
    (found,) = extractor.extract(["The " + "Royal Society of " * 20 + "London met in Prague."])
    assert all(len(mention.text.split()) <= MAX_NAME_WORDS for mention in found.mentions)


NORWAY = "Oskar Brandt visited Norway."
PRAGUE = "Marta Vane left Prague."


def _child(pool: ExtractionPool) -> int:
    assert pool._pool is not None
    (pid,) = pool._pool._processes
    return pid


def _names(extraction: object) -> list[str]:
    return [mention.text for mention in extraction.mentions]  # type: ignore[attr-defined]


class _DeadlyPool(ExtractionPool):
    """A real pool whose child is killed as soon as it is handed the text "deadly"."""

    def submit(self, texts: object) -> Future[Extracted]:
        handed = list(texts)  # type: ignore[call-overload]
        if "deadly" not in handed:
            return super().submit(handed)
        super().submit(["awake?"]).result(120)
        os.kill(_child(self), signal.SIGKILL)
        return super().submit(handed)


@pytest.fixture(scope="module")
def pool(extractor_folder: Path) -> Iterator[ExtractionPool]:
    made = _DeadlyPool(partial(SpacyExtractor, extractor_folder, ExtractionParams(facts=False)))
    yield made
    made.close()


def test_texts_are_extracted_in_another_process(pool: ExtractionPool) -> None:
    found, seconds = pool.collect([NORWAY, PRAGUE], pool.submit([NORWAY, PRAGUE]))
    assert [_names(one) for one in found] == [["Oskar Brandt", "Norway"], ["Marta Vane", "Prague"]]
    assert not any(one.triples for one in found if one is not None)  # none were asked for
    assert seconds > 0
    assert _child(pool) != os.getpid()


def test_after_the_end_nothing_is_begun_by_who_reads_ahead(extractor_folder: Path) -> None:
    pool = ExtractionPool(partial(SpacyExtractor, extractor_folder))
    pool.submit([NORWAY]).result(120)
    child = _child(pool)
    pool.end()
    assert pool.submit([PRAGUE]).cancelled()
    assert pool._pool is None
    assert not Path(f"/proc/{child}").exists()


def test_only_the_text_that_kills_the_child_is_lost_and_the_child_is_started_again(pool: ExtractionPool) -> None:
    pool.submit([NORWAY]).result(120)
    first = _child(pool)
    texts = [NORWAY, "deadly", PRAGUE]
    found, _ = pool.collect(texts, pool.submit(texts))
    assert found[1] is None
    assert found[0] is not None
    assert _names(found[0]) == ["Oskar Brandt", "Norway"]
    assert found[2] is not None
    assert _names(found[2]) == ["Marta Vane", "Prague"]
    assert _child(pool) != first
    wait_until(lambda: not _is_alive(first))


class _ScriptedPool(ExtractionPool):
    """A pool without a child: a text "deadly" breaks it."""

    def __init__(self) -> None:
        super().__init__(partial(SpacyExtractor, Path("unused")))
        self.closed = 0
        self.submitted: list[list[str]] = []

    def submit(self, texts: object) -> Future[Extracted]:
        handed = list(texts)  # type: ignore[call-overload]
        self.submitted.append(handed)
        future: Future[Extracted] = Future()
        if "deadly" in handed:
            future.set_exception(BrokenProcessPool("died"))
        else:
            future.set_result(([text.upper() for text in handed], 0.0))
        return future

    def close(self) -> None:
        self.closed += 1


def test_texts_are_tried_one_at_a_time_when_the_child_died() -> None:
    pool = _ScriptedPool()
    texts = ["a", "deadly", "b", "deadly"]
    found, _ = pool.collect(texts, pool.submit(texts))
    assert found == ["A", None, "B", None]
    assert pool.submitted[1:] == [["a"], ["deadly"], ["b"], ["deadly"]]
    assert pool.closed == 3  # once for the batch, once for each text that killed a child


def test_what_was_cancelled_when_a_child_was_replaced_is_tried_again() -> None:
    """Batches wait with a child; when it is closed because an earlier one died, theirs is cancelled, not broken."""
    pool = _ScriptedPool()
    cancelled: Future[Extracted] = Future()
    cancelled.cancel()
    with pytest.raises(CancelledError):
        cancelled.result()
    found, _ = pool.collect(["a", "b"], cancelled)
    assert found == ["A", "B"]


def test_an_error_that_is_no_death_is_raised() -> None:
    failed: Future[Extracted] = Future()
    failed.set_exception(ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        _ScriptedPool().collect(["a"], failed)


def _is_alive(pid: int) -> bool:
    """Say whether a process runs: a zombie that nobody has asked after yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")
@pytest.mark.parametrize("closed", [True, False])
def test_no_child_outlives_its_pool(extractor_folder: Path, closed: bool) -> None:
    """Nor does the pool's own thread, which an interpreter that exits must not meet while it ends."""
    before = set(threading.enumerate())
    own = ExtractionPool(partial(SpacyExtractor, extractor_folder))
    own.submit([NORWAY]).result(120)
    child = _child(own)
    assert set(threading.enumerate()) - before
    if closed:
        own.close()
    else:
        del own
        gc.collect()
    assert not _is_alive(child)
    assert set(threading.enumerate()) <= before


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")
def test_the_child_dies_with_its_parent(extractor_folder: Path) -> None:
    script = (
        "import sys, time\n"
        "from functools import partial\n"
        "from pathlib import Path\n"
        "from ingest.extraction import SpacyExtractor\n"
        "from ingest.extraction_pool import ExtractionPool\n"
        "if __name__ == '__main__':\n"
        "    pool = ExtractionPool(partial(SpacyExtractor, Path(sys.argv[1])))\n"
        "    pool.submit(['Oskar Brandt visited Norway.']).result(120)\n"
        "    print(*pool._pool._processes, flush=True)\n"
        "    time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(extractor_folder)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert _is_alive(child)
        parent.kill()
    wait_until(lambda: not _is_alive(child))
