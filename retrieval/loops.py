"""An event loop in a thread of its own: for those who are not asynchronous and need a generator."""

from __future__ import annotations

import asyncio
import threading


def start_loop(name: str) -> asyncio.AbstractEventLoop:
    """Start an event loop in a thread that ends with the process; hand it work with ``run_coroutine_threadsafe``."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name=name, daemon=True).start()
    return loop


def stop_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Let the loop of ``start_loop`` end, and its thread with it."""
    loop.call_soon_threadsafe(loop.stop)
