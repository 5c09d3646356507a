"""Processes that are kept running: started again when they die, and replaced one after another."""

from __future__ import annotations

import logging
import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# File numbers that a process inherits: where connections come in, and where it says that it is ready.
LISTENER_VARIABLE = "SHARPWAVE_LISTEN_FD"
READY_VARIABLE = "SHARPWAVE_READY_FD"
# Where the first of several processes takes what the others pass on to it.
DESK_VARIABLE = "SHARPWAVE_DESK_FD"
DESK_PATH_VARIABLE = "SHARPWAVE_DESK_PATH"
# What else it is told: who supervises it, and the one name of all processes of a service.
SUPERVISOR_VARIABLE = "SHARPWAVE_SUPERVISOR_PID"
INSTANCE_VARIABLE = "SHARPWAVE_INSTANCE"

# A process that ends sooner than this after its start did not run: the next start waits longer.
SHORT_LIFE_S = 10.0
MAX_PAUSE_S = 30.0
# Longer than the largest views take to load; a process that takes longer is given up, and the old one stays.
READY_S = 900.0
# What streams and clients have to be told of the end, and the parts to close, beyond the time for requests.
LAST_WORDS_S = 1.0
PARTS_S = 10.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Program:
    """What is run: a command, how many at once, and how long each may take to end.

    With ``listener`` each process inherits that socket and says when it answers, so that a new one can take over before
    the old one leaves. ``desk`` is a socket that the first of them alone inherits.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    end_s: float
    count: int = 1
    niceness: int = 0
    listener: socket.socket | None = None
    desk: socket.socket | None = None


class Process:
    """One run of a program, perhaps as the first of several."""

    def __init__(self, program: Program, *, is_first: bool = True) -> None:
        self.is_ready = program.listener is None
        self.is_asked_to_end = False
        self.started = time.monotonic()
        self._end_s = program.end_s
        self._kill_at = float("inf")
        self._news: int | None = None
        inherited, environment = [], dict(program.environment)
        if program.listener is not None:
            self._news, tell = os.pipe()
            inherited = [program.listener.fileno(), tell]
            environment |= {LISTENER_VARIABLE: str(inherited[0]), READY_VARIABLE: str(tell)}
        if program.desk is not None and is_first:
            inherited.append(program.desk.fileno())
            environment[DESK_VARIABLE] = str(program.desk.fileno())
        # A group of its own: Ctrl-C reaches the supervisor alone, which ends its processes in order.
        self._popen = subprocess.Popen(
            program.command, env=environment, start_new_session=True, pass_fds=inherited, stdin=subprocess.DEVNULL
        )
        if self._news is not None:
            os.close(tell)
        if program.niceness:
            os.setpriority(os.PRIO_PROCESS, self._popen.pid, program.niceness)

    @property
    def pid(self) -> int:
        return self._popen.pid

    def look(self) -> int | None:
        """Take notice of readiness and of the end; return the status of a process that has ended."""
        if self._news is not None and select.select([self._news], [], [], 0)[0]:
            self.is_ready = os.read(self._news, 1) != b""
            os.close(self._news)
            self._news = None
        status = self._popen.poll()
        if status is None and time.monotonic() > self._kill_at:
            log.warning("process %d did not end in time; it is killed", self.pid)
            self._popen.kill()
            status = self._popen.wait()
        return status

    def terminate(self) -> None:
        """Ask it to end; asked again, it insists. It is killed where it takes too long."""
        if not self.is_asked_to_end:
            self._kill_at = time.monotonic() + self._end_s
        self.is_asked_to_end = True
        self._popen.terminate()

    def kill(self) -> None:
        """End it now."""
        self._popen.kill()
        self._popen.wait()


@dataclass
class _Slot:
    process: Process | None = None
    pause_s: float = 0.0
    resume_at: float = 0.0


@dataclass
class Pool:
    """The processes of one program. ``tick`` moves everything on and never waits."""

    program: Program
    restarts: int = 0  # that are over
    refusal: str = ""  # why the last one did not go through
    last_status: int | None = None  # of a process that ended by itself
    was_ready: bool = False
    _slots: list[_Slot] = field(default_factory=list)
    _outdated: list[_Slot] = field(default_factory=list)
    _incoming: Process | None = None
    _leaving: Process | None = None

    def __post_init__(self) -> None:
        self._slots = [_Slot() for _ in range(self.program.count)]

    @property
    def is_restarting(self) -> bool:
        return bool(self._outdated) or self._leaving is not None

    def tick(self) -> None:
        """Start what does not run, and take the next step of a restart."""
        for slot in self._slots:
            self._keep(slot)
        if self.is_restarting:
            self._roll()

    def restart(self) -> None:
        """Begin to replace every process by a new one."""
        self.refusal = ""
        self._outdated = [slot for slot in self._slots if slot.process is not None]
        if not self._outdated:
            self.restarts += 1

    def terminate(self) -> None:
        """Ask all to end; asked again, they insist."""
        for process in self._processes():
            process.terminate()

    def kill(self) -> None:
        """End all now."""
        for process in self._processes():
            process.kill()

    def has_ended(self) -> bool:
        """Whether none is left."""
        return all(process.look() is not None for process in self._processes())

    def _processes(self) -> list[Process]:
        held = [slot.process for slot in self._slots] + [self._incoming, self._leaving]
        return [one for one in held if one is not None]

    def _keep(self, slot: _Slot) -> None:
        now = time.monotonic()
        process = slot.process
        if process is not None and (status := process.look()) is not None:
            slot.process, slot.resume_at = None, now
            if not process.is_asked_to_end:
                self.last_status = status
                lived = now - process.started
                slot.pause_s = 0.0 if lived > SHORT_LIFE_S else min(MAX_PAUSE_S, max(1.0, slot.pause_s * 2))
                slot.resume_at += slot.pause_s
                log.warning("the %s ended (status %s)", self.program.name, status)
        if slot.process is None and now >= slot.resume_at:
            slot.process = Process(self.program, is_first=slot is self._slots[0])
        self.was_ready = self.was_ready or (slot.process is not None and slot.process.is_ready)

    def _roll(self) -> None:
        """One process after another: the new one answers before the old one leaves, and has left before the next."""
        if self._leaving is not None:
            if self._leaving.look() is None:
                return
            self._leaving = None
        if self.program.listener is None:
            # Two would be more than were asked for: the old one leaves first, and `_keep` starts the next.
            for slot in self._outdated:
                if slot.process is not None:
                    slot.process.terminate()
            self._outdated = []
        elif self._outdated:
            self._replace(self._outdated[0])
        if not self.is_restarting:
            self.restarts += 1

    def _replace(self, slot: _Slot) -> None:
        if self._incoming is None:
            self._incoming = Process(self.program, is_first=slot is self._slots[0])
        new, status = self._incoming, self._incoming.look()
        if status is None and not new.is_ready and time.monotonic() - new.started < READY_S:
            return
        self._incoming = None
        if status is not None or not new.is_ready:
            new.kill()
            self.refusal = f"the new process ended with status {status}" if status is not None else "it took too long"
            log.error("the %s was not restarted: %s. The old ones go on", self.program.name, self.refusal)
            self._outdated = []
            return
        self._leaving, slot.process = slot.process, new
        self._outdated.pop(0)
        if self._leaving is not None:
            self._leaving.terminate()


def follow_supervisor() -> None:
    """End this process when the one that supervises it is gone: a killed supervisor must not leave the port taken."""
    supervisor = os.environ.get(SUPERVISOR_VARIABLE)
    if supervisor is None:
        return

    def watch() -> None:
        while os.getppid() == int(supervisor):
            threading.Event().wait(1.0)
        os._exit(1)

    threading.Thread(target=watch, name="supervisor-watch", daemon=True).start()
