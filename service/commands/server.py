"""``up``, ``serve`` and ``worker``: the processes of an installation."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from types import FrameType
from typing import Annotated

import typer
import uvicorn

from memory_graph.database import check_schema
from memory_graph.errors import InvalidInput
from service.app import SUPERVISOR_VARIABLE, create_app, follow_supervisor
from service.auth import check_address
from service.commands.output import DataDir, console
from service.dashboard.mount import mount_dashboard
from service.settings import Settings, read_settings
from service.wiring import make_worker, open_database

Host = Annotated[str | None, typer.Option(help="Address to listen on; SHARPWAVE_HOST.", show_default="127.0.0.1")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; SHARPWAVE_PORT.", show_default="8000")]

# A process that ends sooner than this after its start did not run: the next start waits longer.
SHORT_LIFE_S = 10.0
MAX_PAUSE_S = 30.0
GRACE_S = 15.0
WORKER_NICENESS = 10

log = logging.getLogger(__name__)


def serve(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Run the API alone (no worker)."""
    settings = read_settings(host=host, port=port, data_dir=data_dir)
    set_up_logging(settings)
    check_address(settings)
    check_port(settings)
    open_database(settings).close()  # say what is wrong with it before the server starts
    follow_supervisor()
    app = create_app(settings, url=url_of(settings))
    mount_dashboard(app, settings, lambda key: None, lambda key_id: None)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        timeout_graceful_shutdown=10,
        proxy_headers=False,
    )


def worker(data_dir: DataDir = None) -> None:
    """Run a worker: it takes ingestion jobs from the queue until it is stopped."""
    settings = read_settings(data_dir=data_dir)
    set_up_logging(settings)
    database = open_database(settings)
    stop = _stop_on_signals()
    follow_supervisor()
    member = make_worker(settings, database)
    member.start()
    console.print("The worker is ready.")
    stop.wait()
    member.stop(patience_s=GRACE_S)
    os._exit(0)  # DBOS's threads may be waiting inside a job that is handed back


def up(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Run the API and a worker, and start either again if it dies."""
    settings = read_settings(host=host, port=port, data_dir=data_dir)
    set_up_logging(settings)
    check_address(settings)
    check_port(settings)
    database = open_database(settings)
    check_schema(database)
    database.close()
    environment = os.environ | {
        "SHARPWAVE_DATA_DIR": str(settings.data_dir.expanduser().absolute()),
        "SHARPWAVE_HOST": settings.host,
        "SHARPWAVE_PORT": str(settings.port),
        SUPERVISOR_VARIABLE: str(os.getpid()),
    }
    stop = _stop_on_signals()
    # The worker leaves a core to the questions, and yields where both want the same one.
    learning = {"SHARPWAVE_THREADS": str(max(1, settings.threads - 1))}
    children = [
        _Child("API", ["serve"], environment),
        _Child("worker", ["worker"], environment | learning, niceness=WORKER_NICENESS),
    ]
    console.print(
        f"Sharpwave listens on {url_of(settings)} (API documentation at {url_of(settings)}/docs). Ctrl-C stops it."
    )
    if settings.is_open:
        console.print("No key is set: it answers this machine only.")
    while not stop.wait(0.2):
        for child in children:
            child.keep_running()
    for child in children:
        child.end()


class _Child:
    """A process that is started again when it ends, with a growing pause if it cannot run."""

    def __init__(self, name: str, arguments: list[str], environment: dict[str, str], niceness: int = 0) -> None:
        self._name = name
        self._command = [sys.executable, "-m", "service.cli", *arguments]
        self._environment = environment
        self._niceness = niceness
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._pause = 0.0
        self._resume_at = 0.0

    def keep_running(self) -> None:
        """Start the process if it does not run."""
        now = time.monotonic()
        if self._process is not None and self._process.poll() is not None:
            lived = now - self._started
            self._pause = 0.0 if lived > SHORT_LIFE_S else min(MAX_PAUSE_S, max(1.0, self._pause * 2))
            self._resume_at = now + self._pause
            log.warning("the %s ended (status %s); starting it again", self._name, self._process.returncode)
            self._process = None
        if self._process is None and now >= self._resume_at:
            self._started = now
            # A group of its own: Ctrl-C reaches the supervisor alone, which ends its children in order.
            self._process = subprocess.Popen(self._command, env=self._environment, start_new_session=True)
            if self._niceness:
                os.setpriority(os.PRIO_PROCESS, self._process.pid, self._niceness)

    def end(self) -> None:
        """Ask the process to end, and insist after a while."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(GRACE_S + 5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def set_up_logging(settings: Settings) -> None:
    """Log to standard error, one line an event."""
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    noisy_ones = ("httpx", "httpx2", "httpcore", "openai", "sentence_transformers", "alembic", "dbos")
    # At the level debug these write down what they sign requests with.
    signing = ("aiobotocore", "boto3", "botocore", "fsspec", "s3fs")
    for noisy in (*noisy_ones, *signing):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def url_of(settings: Settings) -> str:
    """Return the URL that the service has on this machine."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"


def check_port(settings: Settings) -> None:
    """Refuse a port that is taken, before anything is loaded. Errors: ``InvalidInput``."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise InvalidInput(
                "SHARPWAVE_PORT",
                f"cannot listen on {settings.host}:{settings.port} ({error.strerror}); try another --port",
            ) from error


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()

    def note(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGINT, note)
    signal.signal(signal.SIGTERM, note)
    return stop
