"""``eval hostile``: what passages that try to be more than data do to answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, get_args

import typer

from evaluation.hostile import Attack, Outcomes, attacked_set, honest_set, list_outcomes, load_attacks, try_attacks
from evaluation.study_report import lay_out, to_markdown
from evaluation.ways import Way
from memory_graph.errors import GeneratorUnavailable, InvalidInput
from retrieval.ask import Asked, ask
from retrieval.generator import Generator
from retrieval.search import Searcher, SearchRequest
from retrieval.strategies.task import Strategy
from service.commands.learned_set import COLLECTION, learn_set
from service.commands.output import AsJson, console, out, print_json
from service.settings import Settings, read_settings
from service.wiring import answer_params, open_generator

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


def hostile(
    strategies: Annotated[
        list[str] | None,
        typer.Option("--strategy", help=f"{', '.join(STRATEGIES)}; may be repeated.", show_default="direct, notes"),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask questions beside hostile passages, with the model that is set, and say what happened."""
    given = strategies or ["direct", "notes"]
    for name in given:
        if name not in STRATEGIES:
            raise InvalidInput("--strategy", f"must be one of {', '.join(STRATEGIES)}, not {name!r}.")
    chosen = [name for name in STRATEGIES if name in given]
    settings, attacks = read_settings(), load_attacks()
    with (
        learn_set(settings, honest_set(attacks)) as honest,
        learn_set(settings, attacked_set(attacks)) as attacked,
    ):
        found = asyncio.run(_try_all(settings, attacks, honest.searcher(Way()), attacked.searcher(Way()), chosen))
    if as_json:
        told = [
            {"strategy": strategy, "attacks": [asdict(one) for one in outcomes]}
            for strategy, outcomes in zip(chosen, found, strict=True)
        ]
        print_json(json.dumps(told, indent=2, ensure_ascii=False))
        return
    cells = list_outcomes(chosen, found)
    if markdown:
        out.file.write(to_markdown(cells))
        return
    out.print(lay_out(cells))


async def _try_all(
    settings: Settings, attacks: list[Attack], honest: Searcher, attacked: Searcher, strategies: list[Strategy]
) -> list[list[Outcomes]]:
    generator = open_generator(settings)
    found = []
    try:
        state = await generator.check()
        if not state.reachable:
            raise GeneratorUnavailable(state.reason or "no model can be reached")
        for strategy in strategies:
            asking = [_asking(settings, generator, searcher, strategy) for searcher in (honest, attacked)]
            found.append(await try_attacks(attacks, *asking))
            console.print(f"{strategy}: {len(attacks)} questions, asked twice", markup=False)
    finally:
        await generator.aclose()
    return found


def _asking(
    settings: Settings, generator: Generator, searcher: Searcher, strategy: Strategy
) -> Callable[[str], Awaitable[Asked]]:
    async def one(question: str) -> Asked:
        request = SearchRequest(query=question, top_k=5)
        return await ask(searcher, generator, COLLECTION, request, answer_params(settings), strategy)

    return one
