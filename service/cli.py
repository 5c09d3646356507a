"""The command line. Exit status: 0 ok, 1 the operation failed, 2 bad usage."""

from __future__ import annotations

import gc
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
from service.commands.late_group import LateGroup, Verb
from service.commands.output import console, out
from service.config_file import CONFIG_VARIABLE

# What is imported is no garbage: the collector, which would look for some after every 700 objects, costs a tenth of a
# start.
gc.set_threshold(50_000, 20, 20)


class Sharpwave(LateGroup):
    """All verbs, in the order in which ``--help`` lists them."""

    verbs = {  # noqa: RUF012
        "up": Verb("server:up", "Run the API and a worker, and start either again if it dies."),
        "serve": Verb("server:serve", "Run the API alone, in one process or several (no worker)."),
        "worker": Verb("server:worker", "Run a worker: it takes ingestion jobs from the queue until it is stopped."),
        "restart": Verb(
            "server:restart",
            "Replace the processes of the running service one after another, without refusing a request.",
        ),
        "ingest": Verb(
            "ingest:ingest",
            "Learn files and folders: text, HTML, PDF, Office, EPUB, CSV, JSON, e-mail, archives. What is known is "
            "skipped.",
        ),
        "search": Verb("recall:search", "Find the passages that bear on a question."),
        "ask": Verb("recall:ask", "Answer a question from the memory, with citations."),
        "forget": Verb("forgetting:forget", "Forget documents and all that rested on them alone."),
        "audit": Verb("audit:audit", "List who changed what, the newest first."),
        "export": Verb("transfer:export", "Write all that a collection holds to a file of JSON lines."),
        "import": Verb(
            "transfer:import_",
            "Make a collection of a file that `sharpwave export` wrote: all of it, or nothing.",
        ),
        "doctor": Verb("installation:doctor", "Check the installation and say how to mend what is wrong."),
        "config": Verb("config:config", "Show every setting in force and where it comes from; secrets are masked."),
        "purges": Verb("forgetting:purges_app", "Show and carry out purges of what was forgotten."),
        "retention": Verb("retention:retention_app", "Rules by which documents are forgotten."),
        "collections": Verb("memory:collections_app", "List, create and delete collections."),
        "jobs": Verb("memory:jobs_app", "List, show, cancel, resume, retry and remove ingestion jobs."),
        "keys": Verb("keys:keys_app", "Keys of the service."),
        "graph": Verb("graph:graph_app", "Look at names, how they are connected, and export the graph."),
        "corrections": Verb("corrections:corrections_app", "Put names and facts right, and take it back."),
        "eval": Verb("evaluating:eval_app", "Learn a question set, and say how well its questions are served."),
        "bench": Verb("bench:bench_app", "Measure speed, side by side in one run."),
        "models": Verb("installation:models_app", "List and fetch the models."),
        "db": Verb("installation:db_app", "Care for the database."),
    }


app = typer.Typer(
    name="sharpwave",
    cls=Sharpwave,
    help="Long-term memory for a language model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


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
