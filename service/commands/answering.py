"""What ``serve`` is where the supervisor started it: one of the processes that answer."""

from __future__ import annotations

import os
import signal
import socket

from service.app import create_app
from service.closing import Closing
from service.dashboard.markup import ROOT
from service.dashboard.mount import mount_dashboard
from service.dashboard.relay import Relay
from service.http_server import ApiServer, configure
from service.logs import set_up_logging
from service.opening import open_database
from service.processes import (
    DESK_PATH_VARIABLE,
    DESK_VARIABLE,
    LISTENER_VARIABLE,
    READY_VARIABLE,
    follow_supervisor,
)
from service.settings import read_settings


def answer() -> None:
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
    config = configure(app, settings.client_timeout_s)
    ApiServer(config, closing, shutdown_s=settings.shutdown_s, on_ready=tell).run(sockets)
