"""What the verbs share: the console, ``--json``, and the options for the data folder."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel
from rich.console import Console

from memory_graph.errors import InvalidInput

if TYPE_CHECKING:
    from service.settings import Settings

# People read standard error; standard output carries what a program may read.
console = Console(stderr=True, highlight=False, soft_wrap=True)
out = Console(highlight=False, soft_wrap=True)

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="The folder that holds everything; SHARPWAVE_DATA_DIR.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
CollectionOption = Annotated[str, typer.Option("--collection", "-c", help="Which collection.")]


log = logging.getLogger(__name__)


def say(settings: Settings, words: str) -> None:
    """Tell a person, or a program where one reads the logs."""
    if settings.log_format == "json":
        log.info(words)
    else:
        console.print(words)


def print_json(value: BaseModel | str) -> None:
    """Print one JSON document on standard output."""
    text = value if isinstance(value, str) else value.model_dump_json(indent=2)
    sys.stdout.write(text + "\n")


def is_alone(context: typer.Context, **options: object) -> bool:
    """Say whether a noun was given without a verb, which lists. Errors: ``InvalidInput`` for options before a verb."""
    if context.invoked_subcommand is None:
        return True
    for name, value in options.items():
        if value:
            option = {"as_json": "--json"}.get(name, "--" + name.replace("_", "-"))
            raise InvalidInput(option, f"goes behind `{context.invoked_subcommand}`")
    return False
