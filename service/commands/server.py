"""``up``, ``serve``, ``worker`` and ``restart``: the processes of an installation."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from typing import Annotated

import typer
import uvicorn

from ingest.worker import process_exists
from memory_graph.errors import SharpwaveError
from memory_graph.store.keys import has_keys
from service.app import create_app, follow_supervisor
from service.auth import check_address
from service.closing import Closing
from service.commands.output import DataDir, console
from service.dashboard.markup import ROOT
from service.dashboard.mount import mount_dashboard
from service.dashboard.relay import Relay
from service.http_server import ApiServer
from service.local import Announcement, find_service, read_announcement
from service.logs import set_up_logging
from service.metrics import share_metrics, unshare_metrics
from service.processes import DESK_PATH_VARIABLE, DESK_VARIABLE, LISTENER_VARIABLE, READY_VARIABLE
from service.settings import Settings, read_settings
from service.signals import Signals
from service.slow_heads import closing_after
from service.supervisor import WORKER_GRACE_S, Supervisor, open_listener, url_of
from service.tracing import start_tracing, stop_tracing
from service.wiring import make_worker, open_database

log = logging.getLogger(__name__)

Host = Annotated[str | None, typer.Option(help="Address to listen on; SHARPWAVE_HOST.", show_default="127.0.0.1")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; SHARPWAVE_PORT.", show_default="8000")]
Workers = Annotated[
    int | None, typer.Option(help="How many processes answer; SHARPWAVE_API_WORKERS.", show_default="1")
]


def serve(host: Host = None, port: Port = None, workers: Workers = None, data_dir: DataDir = None) -> None:
    """Run the API alone, in one process or several (no worker)."""
    if LISTENER_VARIABLE in os.environ:
        _answer()
        return
    settings = read_settings(host=host, port=port, api_workers=workers, data_dir=data_dir)
    _supervise(settings, with_worker=False)


def up(host: Host = None, port: Port = None, workers: Workers = None, data_dir: DataDir = None) -> None:
    """Run the API and a worker, and start either again if it dies."""
    settings = read_settings(host=host, port=port, api_workers=workers, data_dir=data_dir)
    _supervise(settings, with_worker=True)


def worker(data_dir: DataDir = None) -> None:
    """Run a worker: it takes ingestion jobs from the queue until it is stopped."""
    settings = read_settings(data_dir=data_dir)
    set_up_logging(settings)
    database = open_database(settings)
    signals = Signals(signal.SIGINT, signal.SIGTERM)
    follow_supervisor()
    traces = start_tracing(settings, "worker")
    member = make_worker(settings, database)
    member.start()
    _say(settings, "The worker is ready.")
    while not signals.wait(None):
        pass
    leaving = threading.Thread(target=member.stop, args=[WORKER_GRACE_S], name="leaving", daemon=True)
    leaving.start()
    while leaving.is_alive():
        if signals.wait(0.1):
            member.stop(patience_s=0)  # asked twice: the job is handed back as it stands
            break
    stop_tracing(traces)
    os._exit(0)  # DBOS's threads may be waiting inside a job that is handed back


def restart(data_dir: DataDir = None) -> None:
    """Replace the processes of the running service one after another, without refusing a request."""
    settings = read_settings(data_dir=data_dir)
    said = read_announcement(settings)
    if said is None or find_service(settings) is None:
        raise SharpwaveError(f"no service answers for {settings.data_dir.expanduser()}: start one with `sharpwave up`")
    if said.host != socket.gethostname():
        raise SharpwaveError(f"the service runs on {said.host}: restart it there")
    try:
        os.kill(said.pid, signal.SIGHUP)
    except (ProcessLookupError, PermissionError) as error:
        raise SharpwaveError(f"process {said.pid} cannot be told to restart: {error.strerror}") from error
    now: Announcement | None = said
    with console.status("Restarting"):
        while now is not None and now.instance == said.instance and now.restarts == said.restarts:
            time.sleep(0.1)
            now = read_announcement(settings) if process_exists(said.pid) else None
    if now is None or now.instance != said.instance:
        raise SharpwaveError("the service ended meanwhile")
    if now.refusal:
        raise SharpwaveError(f"{now.refusal}; its log has the details. The old processes go on")
    console.print("The API was restarted.")


def _supervise(settings: Settings, *, with_worker: bool) -> None:
    set_up_logging(settings)
    if not settings.database_url and not (settings.data_dir.expanduser() / "sharpwave.db").exists():
        check_address(settings)  # no key can be there yet: nothing is made for a service that is refused
    listener = open_listener(settings)
    database = open_database(settings)  # say what is wrong with it before anything is started
    check_address(settings, database)
    with database.read() as connection:
        is_open = settings.is_open and not has_keys(connection)
    database.close()
    shared = share_metrics()  # the processes of the API are told where they write their numbers
    supervisor = Supervisor(settings, listener, with_worker=with_worker)
    url = url_of(settings)
    _say(settings, f"Sharpwave listens on {url} (API documentation at {url}/docs). Ctrl-C stops it.")
    if is_open:
        _say(settings, "No key is set: it answers this machine only.")
    try:
        status = supervisor.run()
    finally:
        unshare_metrics(shared)
    if status:
        raise SystemExit(status)


def _answer() -> None:
    """Be one of the API's processes: the supervisor holds the port, and is told when this one answers."""
    settings = read_settings()
    set_up_logging(settings)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it is the supervisor that restarts
    follow_supervisor()
    listener = socket.socket(fileno=int(os.environ[LISTENER_VARIABLE]))
    ready = int(os.environ[READY_VARIABLE])
    for number in (listener.fileno(), ready):
        os.set_inheritable(number, False)  # what this process starts has no business with them
    open_database(settings).close()  # here a wrong schema is one line, in the server's start-up a stack trace
    closing = Closing()

    def tell() -> None:
        os.write(ready, b".")
        os.close(ready)

    app = create_app(settings, closing=closing)
    sockets = [listener]
    if DESK_VARIABLE in os.environ:
        sockets.append(socket.socket(fileno=int(os.environ[DESK_VARIABLE])))
        os.set_inheritable(sockets[1].fileno(), False)
    # A page and its socket must come to the same process: the first one, or the only one.
    if len(sockets) > 1 or settings.api_workers == 1:
        mount_dashboard(app, settings)
    else:
        app.mount(ROOT, Relay(os.environ[DESK_PATH_VARIABLE]))
    config = uvicorn.Config(
        app,
        http=closing_after(settings.client_timeout_s),
        log_config=None,  # its lines go the way of all others
        access_log=False,
        log_level="warning",
        proxy_headers=False,
    )
    ApiServer(config, closing, shutdown_s=settings.shutdown_s, on_ready=tell).run(sockets)


def _say(settings: Settings, words: str) -> None:
    """Tell a person, or a program where one reads the logs."""
    if settings.log_format == "json":
        log.info(words)
    else:
        console.print(words)
