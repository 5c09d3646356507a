"""What ``worker`` runs."""

from __future__ import annotations

import os
import signal
import threading

from service.commands.output import say
from service.logs import set_up_logging
from service.opening import open_database
from service.processes import follow_supervisor
from service.settings import Settings
from service.signals import Signals
from service.supervisor import WORKER_GRACE_S
from service.tracing import start_tracing, stop_tracing
from service.wiring import make_worker


def work(settings: Settings) -> None:
    """Take jobs until a signal ends this process."""
    set_up_logging(settings)
    database = open_database(settings)
    signals = Signals(signal.SIGINT, signal.SIGTERM)
    follow_supervisor()
    traces = start_tracing(settings, "worker")
    member = make_worker(settings, database)
    member.start()
    say(settings, "The worker is ready.")
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
