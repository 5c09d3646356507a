"""Which strategy a question gets when none is chosen: a rule without a model.

1. A question that names two or more names of the memory which no passage found holds together: ``notes``.
2. A question of more than 40 words: ``notes``.
3. A question about a sequence (before, after, first, then …): ``direct``, its passages in the order of their documents.
4. Any other: ``direct``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from memory_graph.text import words
from memory_graph.types import Hit
from retrieval.search import SearchResult
from retrieval.strategies.task import Task

LONG_QUESTION_WORDS = 40
SEQUENCE_WORDS = frozenset(words("before after first then next last earlier later finally afterwards sequence"))


def choose(task: Task) -> None:
    """Set the task's strategy, and its order where the question is about a sequence; say why in the trace."""
    names = known_names(task.question, task.found)
    sequence = SEQUENCE_WORDS & set(words(task.question))
    if len(names) > 1 and task.hits and not held_together(names, task.hits):
        task.strategy, why = "notes", f"no passage holds all of {', '.join(names)}"
    elif len(words(task.question)) > LONG_QUESTION_WORDS:
        task.strategy, why = "notes", f"the question has more than {LONG_QUESTION_WORDS} words"
    elif sequence:
        task.strategy, why = "direct", f"a question of sequence: {', '.join(sorted(sequence))}"
        if task.params.order == "edges":  # another order was asked for
            task.params = replace(task.params, order="document")
    else:
        task.strategy, why = "direct", "a short question, its names together in a passage"
    task.tell("auto", strategy=task.strategy, order=task.params.order, why=why, names=names)


def known_names(question: str, found: SearchResult) -> list[str]:
    """Return the memory's names in a question: those from which the walk started (none in other modes)."""
    asked = _joined(question)
    walked = [one for stage in found.stages if stage.name == "walk" for one in stage.detail.get("phrases", ())]
    names = (str(one.get("phrase", "")) for one in walked)
    return list(dict.fromkeys(name for name in names if words(name) and _joined(name) in asked))


def held_together(names: Sequence[str], hits: Sequence[Hit]) -> bool:
    """Say whether one passage, its title included, holds all names."""
    texts = [_joined(f"{hit.title}\n{hit.text}") for hit in hits]
    return any(all(_joined(name) in text for name in names) for text in texts)


def _joined(text: str) -> str:
    return f" {' '.join(words(text))} "
