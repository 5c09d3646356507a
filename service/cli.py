"""The command line. Exit status: 0 ok, 1 the operation failed, 2 bad usage."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import TracebackType
from typing import Annotated

# Read by libraries at import: nothing is fetched from a model hub behind our back, nothing reports usage.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import typer

from memory_graph.errors import InvalidInput, SharpwaveError
from service import __version__
from service.commands import (
    answers,
    audit,
    bench,
    config,
    continual,
    corrections,
    crowding,
    evaluate,
    forgetting,
    graph,
    hostile,
    ingest,
    installation,
    keys,
    memory,
    ranker,
    recall,
    retention,
    server,
    studies,
    transfer,
)
from service.commands.default_group import DefaultGroup
from service.commands.output import console, out
from service.config_file import CONFIG_VARIABLE

app = typer.Typer(
    name="sharpwave",
    help="Long-term memory for a language model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(server.up)
app.command()(server.serve)
app.command()(server.worker)
app.command()(server.restart)
app.command()(ingest.ingest)
app.command()(recall.search)
app.command()(recall.ask)
app.command()(forgetting.forget)
app.add_typer(forgetting.purges_app, name="purges")
app.add_typer(retention.retention_app, name="retention")
app.add_typer(memory.collections_app, name="collections")
app.add_typer(memory.jobs_app, name="jobs")
app.add_typer(keys.keys_app, name="keys")
app.command()(audit.audit)
app.command("export")(transfer.export)
app.command("import")(transfer.import_)
app.add_typer(graph.graph_app, name="graph")
app.add_typer(corrections.corrections_app, name="corrections")
eval_app = typer.Typer(cls=DefaultGroup)
eval_app.command(DefaultGroup.default, epilog="See also: sharpwave eval continual --help")(evaluate.evaluate)
eval_app.command()(continual.continual)
eval_app.command()(ranker.ranker)
eval_app.command()(answers.answers)
eval_app.command()(studies.ablations)
eval_app.command()(crowding.duplicates)
eval_app.command()(hostile.hostile)
eval_app.command("sweep")(studies.sweep_parameters)
app.add_typer(eval_app, name="eval", help="Learn a question set, and say how well its questions are served.")
app.add_typer(bench.bench_app, name="bench")
app.add_typer(installation.models_app, name="models")
app.add_typer(installation.db_app, name="db")
app.command()(installation.doctor)
app.command()(config.config)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
    config_file: Annotated[
        Path | None, typer.Option("--config", help="A sharpwave.toml; SHARPWAVE_CONFIG.", show_default=False)
    ] = None,
) -> None:
    if config_file is not None:
        # In the environment, so that the processes that this one starts read the same file.
        os.environ[CONFIG_VARIABLE] = str(config_file.expanduser().absolute())
    if version:
        out.print(__version__)
        raise typer.Exit()


def main() -> None:
    """Run the command; an error that we know ends in one line on standard error."""
    sys.excepthook = _report_unexpected
    try:
        typer.main.get_command(app)()  # not app(): that would put its own hook over ours
    except InvalidInput as error:
        _fail(error.message, 2)
    except SharpwaveError as error:
        _fail(error.message, 1)
    except KeyboardInterrupt:
        _fail("stopped", 130)
    except BrokenPipeError:
        os._exit(0)  # the reader of our output left, as `head` does


def _report_unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Keep the details of a fault of ours in a file, and tell the user in one line where they are."""
    with NamedTemporaryFile("w", prefix="sharpwave-fault-", suffix=".txt", delete=False, encoding="utf-8") as file:
        traceback.print_exception(kind, error, trace, file=file)
    console.print(f"error: a fault inside sharpwave ({kind.__name__}); the details are in {file.name}", markup=False)


def _fail(message: str, status: int) -> None:
    console.print(f"error: {message}", markup=False, style="red")
    sys.exit(status)


if __name__ == "__main__":
    main()
