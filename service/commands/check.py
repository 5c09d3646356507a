"""``eval --check``: does the memory still do what is claimed?"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

import evaluation
from evaluation.condition_file import read_conditions
from evaluation.conditions import Condition, check_conditions, choose_conditions, describe_verdict, make_markdown
from evaluation.datasets import limit_questions, load_dataset
from evaluation.openie import read_openie
from evaluation.retrieval_eval import Scores, evaluate_retrieval
from ingest.files import show_path
from memory_graph.errors import InvalidInput
from service.commands.learned_set import learn_set
from service.commands.output import out, print_json
from service.settings import Settings, read_settings

# The sets of the conditions that ship with the program: ``samples`` lies beside its packages, and larger ones, which
# several checkouts can share, beside the checkout.
BESIDE = Path(evaluation.__file__).parents[1]
SHARED = BESIDE.parent / "shared" / "data"


def check(names: Sequence[str], data: Path | None, file: Path | None, *, markdown: bool, as_json: bool) -> None:
    """Check the conditions of these names, all if none is given; status 1 where one fails.

    A set's folder is looked for in ``data``, ``SHARED`` if it is not given, then beside the file of the conditions or,
    for those that ship with the program, beside its packages. With ``markdown`` the expected scores are printed and
    nothing is run.
    Errors: ``InvalidInput`` for the file, a name, or a data folder that is not there.
    """
    if data is not None and not data.is_dir():
        raise InvalidInput("--data", f"there is no folder {show_path(data)}.")
    conditions = choose_conditions(read_conditions(file), names)
    if markdown:
        out.file.write(make_markdown(conditions))
        return
    roots = [data or SHARED, file.parent if file else BESIDE]
    settings = read_settings()
    verdicts = []
    for verdict in check_conditions(conditions, roots, lambda folder, claims: _measure(settings, folder, claims)):
        verdicts.append(verdict)
        if not as_json:
            style = {"OK": "green", "FAIL": "bold red", "SKIPPED": "dim"}[verdict.state]
            out.print(describe_verdict(verdict), style=style, markup=False)
    states = Counter(verdict.state for verdict in verdicts)
    if as_json:
        document = {"conditions": [verdict.to_json() for verdict in verdicts], "failed": states["FAIL"]}
        print_json(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        out.print(f"{states['OK']} OK, {states['FAIL']} FAIL, {states['SKIPPED']} SKIPPED")
    if states["FAIL"]:
        raise typer.Exit(1)


def _measure(settings: Settings, folder: Path, conditions: Sequence[Condition]) -> Iterator[Scores]:
    """Learn a set once, from the same file of triples if any, and measure each condition on it."""
    dataset = load_dataset(folder)
    openie = conditions[0].openie
    readings = read_openie(folder / openie, dataset) if openie else None
    with learn_set(settings, dataset, readings) as learned:
        for condition in conditions:
            asked = limit_questions(dataset, condition.limit) if condition.limit else dataset
            yield evaluate_retrieval(asked, learned.search(condition.way), way=condition.way.name).scores
