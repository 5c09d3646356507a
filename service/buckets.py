"""Token buckets in a file that all processes of a service have mapped: what one takes, the others see at once.

A bucket fills evenly with its capacity a minute, and holds no more than that. So one that nobody touched for a minute
is full, as one that is not there: a slot whose bucket is full may be given to another key without a loss.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import struct
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from time import monotonic, sleep

log = logging.getLogger(__name__)

MINUTE_S = 60
SLOTS = 4096  # keys that asked within a minute
_SLOT = struct.Struct("<16sddd")  # hash of the key's id, capacity, level, seconds of the clock
_SIZE = SLOTS * _SLOT.size
_PROBES = 16
_TRIES, _PAUSE_S = 50, 0.0002


class Buckets:
    """The buckets of one host's processes that give the same ``file``, or of this process alone; not for threads.

    The lock is the kernel's: it ends with the process that holds it. ``clock`` tells seconds, of one clock for all.
    """

    def __init__(self, file: Path | None = None, clock: Callable[[], float] = monotonic) -> None:
        self._file = file
        self._clock = clock
        self._slots: mmap.mmap | None = None
        self._descriptor: int | None = None

    def take(self, key: str, capacity: int) -> float:
        """Take one from a key's bucket; return 0, or the seconds to wait where there is none."""
        slots = self._open()
        with self._locked():
            now = self._clock()
            at, name, level = self._find(slots, key, capacity, now)
            if level < 1:
                return (1 - level) * MINUTE_S / capacity
            _SLOT.pack_into(slots, at, name, capacity, level - 1, now)
            return 0.0

    def level(self, key: str, capacity: int) -> float:
        """Return how many a key may take at once."""
        slots = self._open()
        with self._locked():
            return self._find(slots, key, capacity, self._clock())[2]

    def _find(self, slots: mmap.mmap, key: str, capacity: int, now: float) -> tuple[int, bytes, float]:
        """Return where a key's bucket is or may be put, the key's name there, and the bucket's level."""
        name = blake2b(key.encode(), digest_size=16).digest()
        first = int.from_bytes(name[:8], "little")
        place, fullest = 0, -1.0
        for number in range(_PROBES):
            at = (first + number) % SLOTS * _SLOT.size
            named, held, level, since = _SLOT.unpack_from(slots, at)
            # Half of a slot may have been written by a process that was killed, or before the host was started anew.
            sound = held >= 1 and 0 <= level <= held and 0 <= since <= now
            full = min(1.0, (level + (now - since) * held / MINUTE_S) / held) if sound else 1.0
            if named == name:
                return at, name, full * capacity if sound and held == capacity else float(capacity)
            if full > fullest:
                place, fullest = at, full
        return place, name, float(capacity)

    def _open(self) -> mmap.mmap:
        if self._slots is None:
            self._slots = self._map()
        return self._slots

    def _map(self) -> mmap.mmap:
        if self._file is not None:
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                weakref.finalize(self, os.close, descriptor)
                # Room on the disk, or a process that writes where there is none would be killed.
                os.posix_fallocate(descriptor, 0, _SIZE)
                slots = mmap.mmap(descriptor, _SIZE)
            except OSError as error:
                log.warning("rates are counted by this process alone: %s: %s", self._file, error.strerror or error)
            else:
                self._descriptor = descriptor
                return slots
        return mmap.mmap(-1, _SIZE)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock; after a hundredth of a second go on without it: whoever holds it stands still."""
        descriptor = self._descriptor
        if descriptor is None:
            yield
            return
        for _ in range(_TRIES):
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                sleep(_PAUSE_S)
        else:
            yield
            return
        try:
            yield
        finally:
            fcntl.lockf(descriptor, fcntl.LOCK_UN)
