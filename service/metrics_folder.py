"""The folder through which the processes of one service share what they count."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus_client when it is imported


def share_metrics() -> Path:
    """Make the folder through which server processes share their numbers, and name it to those started from now on.

    To be called by the process that starts them, before; it removes the folder (``shutil.rmtree``) when they ended.
    """
    folder = Path(tempfile.mkdtemp(prefix="sharpwave-metrics-"))
    os.environ[FOLDER_VARIABLE] = str(folder)
    return folder


def unshare_metrics(folder: Path) -> None:
    """Remove the folder."""
    os.environ.pop(FOLDER_VARIABLE, None)
    shutil.rmtree(folder, ignore_errors=True)
