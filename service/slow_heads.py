"""HTTP connections that are closed when the head of a request does not arrive in time, or none for long."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


def closing_after(seconds: float) -> type[asyncio.Protocol]:
    """Return the protocol for uvicorn that waits so long for a head, from the connection or its first byte on."""
    return type("PatientProtocol", (_PatientProtocol,), {"patience_s": seconds})


class _PatientProtocol(HttpToolsProtocol):
    patience_s: float
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # uvicorn stops its clock of idle connections at any byte; these may begin no head: empty lines, or the rest of
        # a body that was refused. What was upgraded has another protocol by now.
        if (
            self.cycle is not None
            and self.cycle.response_complete
            and self._timer is None
            and self.timeout_keep_alive_task is None
            and self.transport.get_protocol() is self
        ):
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._wait()

    def on_headers_complete(self) -> None:
        self._stop()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.patience_s, self.transport.close)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
