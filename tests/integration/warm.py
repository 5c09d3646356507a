"""Commands in processes that have their imports behind them (``tests.forks``).

Importing sentence-transformers takes longer than most commands do. A forked process is as real as another one: it has
its own memory, files and end. What it does not show is that a command imports what it needs; commands that are run cold
show that, and whatever stays running is started cold.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.forks import FORKS


def run_warm(
    arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], timeout_s: float
) -> tuple[int | None, str, str]:
    """Run ``sharpwave ARGUMENTS`` to its end and return its status (None: it was killed, late) and its two outputs."""
    with TemporaryDirectory(prefix="sharpwave-run-") as outputs:
        out, err = Path(outputs, "out"), Path(outputs, "err")
        process = FORKS.Process(target=_be_the_command, args=(arguments, folder, dict(environment), out, err))
        process.start()
        process.join(timeout_s)
        status = process.exitcode
        if status is None:
            os.killpg(process.ident or 0, signal.SIGKILL)
            process.join()
        process.close()
        return status, out.read_text(), err.read_text()


def _be_the_command(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], out: Path, err: Path
) -> None:
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, out, os.O_WRONLY | os.O_CREAT),
        (2, err, os.O_WRONLY | os.O_CREAT),
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["sharpwave", *arguments]
    from service.cli import main

    try:
        main()
    finally:
        atexit._run_exitfuncs()  # multiprocessing ends its processes without
