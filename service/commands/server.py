"""``up``, ``serve``, ``worker`` and ``restart``: the processes of an installation."""

from __future__ import annotations

import os
import signal
import socket
import time
from typing import Annotated

import typer

from ingest.alive import process_exists
from memory_graph.errors import SharpwaveError
from memory_graph.store.keys import has_keys
from service.commands.output import DataDir, console, say
from service.local import Announcement, find_service, read_announcement
from service.logs import set_up_logging
from service.metrics_folder import share_metrics, unshare_metrics
from service.opening import check_address, open_database
from service.processes import LISTENER_VARIABLE
from service.settings import Settings, read_settings
from service.supervisor import Supervisor, open_listener, url_of

Host = Annotated[str | None, typer.Option(help="Address to listen on; SHARPWAVE_HOST.", show_default="127.0.0.1")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; SHARPWAVE_PORT.", show_default="8000")]
Workers = Annotated[
    int | None, typer.Option(help="How many processes answer; SHARPWAVE_API_WORKERS.", show_default="1")
]


def serve(host: Host = None, port: Port = None, workers: Workers = None, data_dir: DataDir = None) -> None:
    """Run the API alone, in one process or several (no worker)."""
    if LISTENER_VARIABLE in os.environ:
        from service.commands.answering import answer  # late: this process, which holds the port, needs nothing of it

        answer()
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
    from service.commands.working import work  # late: it imports what learns

    work(settings)


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
    say(settings, f"Sharpwave listens on {url} (API documentation at {url}/docs). Ctrl-C stops it.")
    if is_open:
        say(settings, "No key is set: it answers this machine only.")
    try:
        status = supervisor.run()
    finally:
        unshare_metrics(shared)
    if status:
        raise SystemExit(status)
