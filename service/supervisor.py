"""What ``serve`` and ``up`` run in the foreground: the process that holds the port and keeps the others running."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from uuid import uuid4

from memory_graph.errors import InvalidInput
from service.local import Announcement, announce, withdraw
from service.processes import (
    DESK_PATH_VARIABLE,
    INSTANCE_VARIABLE,
    LAST_WORDS_S,
    PARTS_S,
    SUPERVISOR_VARIABLE,
    Pool,
    Program,
)
from service.settings import Settings
from service.signals import Signals

WORKER_NICENESS = 10
# How long a worker may finish the batch in hand.
WORKER_GRACE_S = 15.0
# Beyond the time in which a process ends by itself.
_SPARE_S = 5.0
_TICK_S = 0.1
_BACKLOG = 2048


def open_listener(settings: Settings) -> socket.socket:
    """Take the port; from now on connections wait there, whichever process answers them. Errors: ``InvalidInput``."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise InvalidInput(
            "SHARPWAVE_PORT",
            f"cannot listen on {settings.host}:{settings.port} ({error.strerror}); try another --port",
        ) from error
    return listener


def url_of(settings: Settings) -> str:
    """Return the URL that the service has on this machine."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"


class Desk:
    """Where the process that has the dashboard takes what comes for it to the others: a socket of this user alone.

    Its folder is a short one, since the path of a socket may have a hundred bytes.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="sharpwave-")
        self.path = Path(self._folder.name) / "desk"
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(self.path))
        self.listener.listen(_BACKLOG)

    def close(self) -> None:
        """Take no more."""
        self.listener.close()
        self._folder.cleanup()


class Supervisor:
    """Keeps the API's processes, and perhaps a worker, running until it is told to end.

    SIGTERM and SIGINT end all: the API stops accepting first, then the worker is told. A second one is passed on, and
    cuts short what runs; a third one kills. SIGHUP replaces the API's processes one after another, then the worker.
    """

    def __init__(self, settings: Settings, listener: socket.socket, *, with_worker: bool) -> None:
        self._settings = settings
        self._listener = listener
        self._instance = uuid4().hex
        self._signals = Signals(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        environment = os.environ | {
            "SHARPWAVE_DATA_DIR": str(settings.data_dir.expanduser().absolute()),
            "SHARPWAVE_HOST": settings.host,
            "SHARPWAVE_PORT": str(settings.port),
            SUPERVISOR_VARIABLE: str(os.getpid()),
            INSTANCE_VARIABLE: self._instance,
        }
        command = [sys.executable, "-m", "service.cli"]
        # The cores are shared out; the worker leaves one to the questions, and yields where both want the same one.
        asking = {"SHARPWAVE_THREADS": str(max(1, settings.threads // settings.api_workers))}
        learning = {"SHARPWAVE_THREADS": str(max(1, settings.threads - 1))}
        self._desk = Desk() if settings.api_workers > 1 else None
        if self._desk is not None:
            environment[DESK_PATH_VARIABLE] = str(self._desk.path)
        self._api = Pool(
            Program(
                name="API",
                command=[*command, "serve"],
                environment=environment | asking,
                end_s=settings.shutdown_s + LAST_WORDS_S + PARTS_S + _SPARE_S,
                count=settings.api_workers,
                listener=listener,
                desk=self._desk.listener if self._desk is not None else None,
            )
        )
        self._pools = [self._api]
        if with_worker:
            self._pools.append(
                Pool(
                    Program(
                        name="worker",
                        command=[*command, "worker"],
                        environment=environment | learning,
                        end_s=WORKER_GRACE_S + _SPARE_S,
                        niceness=WORKER_NICENESS,
                    )
                )
            )
        self._waiting: list[Pool] = []  # for their turn in a restart
        self._restart_seen = 0
        self._told: Announcement | None = None

    def run(self) -> int:
        """Run until a signal ends it, and return the exit status.

        An API that ends before it answered once ends ``serve`` with its status; ``up`` tries again.
        """
        while True:
            came = self._signals.wait(_TICK_S)
            if signal.SIGINT in came or signal.SIGTERM in came:
                break
            if signal.SIGHUP in came:
                self._waiting = list(self._pools)
            for pool in self._pools:
                pool.tick()
            self._go_on_restarting()
            if not self._api.was_ready and self._api.last_status is not None and len(self._pools) == 1:
                self._end()
                return max(1, self._api.last_status)
            self._tell()
        self._end()
        return 0

    def _go_on_restarting(self) -> None:
        if not self._waiting or any(pool.is_restarting for pool in self._pools):
            return
        if self._api.refusal and self._waiting[0] is not self._api:
            self._waiting = []  # what the API cannot start with, the worker is not given
            return
        self._waiting.pop(0).restart()

    def _tell(self) -> None:
        """Leave word in the data folder, for the command line, once the API answers and after each restart."""
        if not self._api.was_ready:
            return
        told = Announcement(
            url=url_of(self._settings),
            instance=self._instance,
            host=socket.gethostname(),
            pid=os.getpid(),
            restarts=self._api.restarts,
            refusal=self._api.refusal,
        )
        if told != self._told:
            announce(self._settings, told)
            self._told = told

    def _end(self) -> None:
        # Whoever comes now is refused at once, and can ask elsewhere.
        self._listener.close()
        if self._desk is not None:
            self._desk.close()
        if self._told is not None:
            withdraw(self._settings, self._instance)
        for pool in self._pools:
            pool.terminate()
        signals = 1
        # All are asked, also where one has ended: their bounds run side by side.
        while not all([pool.has_ended() for pool in self._pools]):
            for _ in self._signals.wait(_TICK_S):
                signals += 1
                for pool in self._pools:
                    if signals == 2:
                        pool.terminate()
                    elif not pool.has_ended():
                        pool.kill()
