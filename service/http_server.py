"""uvicorn as it runs here: it ends in an order that loses no request, within a bound, and with status 0."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from service.closing import Closing
from service.processes import LAST_WORDS_S, PARTS_S
from service.slow_heads import closing_after

log = logging.getLogger(__name__)

# How long a connection without a request is kept: its client may be about to send one.
DRAIN_S = 1.0
_LOOK_S = 0.02
# How long a connection waits for its next request. Whoever keeps one in a pool must be the first to let it go, or sends
# into a connection that closes: HTTP clients keep them for seconds, proxies and load balancers for up to a minute.
KEEP_ALIVE_S = 75


def configure(app: ASGIApp, client_timeout_s: float) -> uvicorn.Config:
    """Return how uvicorn serves the app; the head of a request has ``client_timeout_s`` seconds to arrive in."""
    return uvicorn.Config(
        app,
        http=closing_after(client_timeout_s),
        timeout_keep_alive=KEEP_ALIVE_S,
        log_config=None,  # its lines go the way of all others
        access_log=False,
        log_level="warning",
        proxy_headers=False,
    )


class ApiServer(uvicorn.Server):
    """A server whose requests have ``shutdown_s`` seconds to end in; ``on_ready`` is called when it answers.

    The first SIGTERM or SIGINT begins the end, the second one waits for no request any more.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        closing: Closing,
        *,
        shutdown_s: float,
        on_ready: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(config)
        self._closing = closing
        self._shutdown_s = shutdown_s
        self._on_ready = on_ready
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self._on_ready is not None and not self.should_exit:
            self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note a signal. Not kept for later as uvicorn does, which raises it again: the status would not be 0."""
        if not self.should_exit:
            self.should_exit = True
            _give_up_after(self._shutdown_s + LAST_WORDS_S + PARTS_S)
        elif not self.force_exit:
            self.force_exit = True
            _give_up_after(PARTS_S)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._closing.begin)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let what runs end within the bound, cut off the rest, and close the parts."""
        self._closing.begin()
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        state = self.server_state
        # Responses say `Connection: close` by now: clients that are busy leave by themselves.
        await self._wait_until(lambda: not state.connections, min(DRAIN_S, self._shutdown_s))
        for connection in list(state.connections):
            connection.shutdown()
        rest_s = max(0.0, self._shutdown_s - DRAIN_S)
        if not await self._wait_until(lambda: not state.connections and not state.tasks, rest_s):
            log.warning("%d requests are cut off", len(state.tasks))
            self._closing.cut()
            # Also where a second signal insists: a stream without its last event looks like a fault.
            self.force_exit = False
            await self._wait_until(lambda: not state.tasks, LAST_WORDS_S)
        for task in list(state.tasks):
            task.cancel()
        await self.lifespan.shutdown()

    async def _wait_until(self, is_true: Callable[[], bool], within_s: float) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        while not is_true():
            if self.force_exit or loop.time() >= deadline:
                return False
            await asyncio.sleep(_LOOK_S)
        return True


def _give_up_after(seconds: float) -> None:
    """End the process in any case: a thread that hangs in a model or a disk cannot be interrupted."""

    def end() -> None:
        log.error("the process did not end within %g s; it is ended", seconds)
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
