"""``eval`` and its verbs."""

from __future__ import annotations

import typer

from service.commands import answers, continual, crowding, evaluate, hostile, ranker, studies
from service.commands.default_group import DefaultGroup

eval_app = typer.Typer(cls=DefaultGroup, help="Learn a question set, and say how well its questions are served.")
eval_app.command(DefaultGroup.default, epilog="See also: sharpwave eval continual --help")(evaluate.evaluate)
eval_app.command()(continual.continual)
eval_app.command()(ranker.ranker)
eval_app.command()(answers.answers)
eval_app.command()(studies.ablations)
eval_app.command()(crowding.duplicates)
eval_app.command()(hostile.hostile)
eval_app.command("sweep")(studies.sweep_parameters)
