"""Sets that the ranker and the studies of it ask, each in a memory that is thrown away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.progress import Progress, TimeElapsedColumn

from evaluation.asked import Taught, questions_of, read_sub_questions
from evaluation.datasets import load_dataset
from evaluation.memory import RememberingEmbedder
from evaluation.remade import remake_views
from memory_graph.errors import InvalidInput
from retrieval.embedder import Embedder
from service.commands.learned_set import learn_set
from service.commands.output import console
from service.settings import read_settings
from service.wiring import open_embedder


@contextmanager
def teach(folders: Sequence[Path], *, remake: bool = False) -> Iterator[tuple[list[Taught], Embedder]]:
    """Learn each set into a memory of its own; the embedder remembers the texts that it was given.

    With ``remake`` each has views besides whose graph was made without an ingredient.

    Errors: ``InvalidInput`` for two sets of one name, and for a set without questions that have gold documents.
    """
    datasets = [load_dataset(folder) for folder in folders]
    if len({dataset.name for dataset in datasets}) != len(datasets):
        raise InvalidInput("FOLDER", "two sets have the same name; results could not say which they are of")
    settings = read_settings()
    with ExitStack() as stack:
        sets = []
        for folder, dataset in zip(folders, datasets, strict=True):
            questions = [*questions_of(dataset), *read_sub_questions(folder, dataset)]
            if not questions:
                raise InvalidInput(str(folder), "has no question with gold documents")
            learned = stack.enter_context(learn_set(settings, dataset))
            view, document_of = learned.view()
            remade = remake_views(learned.changes()) if remake else {}
            sets.append(
                Taught(name=dataset.name, view=view, document_of=document_of, questions=questions, remade=remade)
            )
        yield sets, RememberingEmbedder(open_embedder(settings))


@contextmanager
def show_stages() -> Iterator[Callable[[str, float], None]]:
    """Show how far each stage has come: a function of its name and a share from 0 to 1."""
    with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=console, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def show(stage: str, share: float) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=1.0)
            bars.update(tasks[stage], completed=share)

        yield show
