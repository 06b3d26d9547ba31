"""Sweeps a store on a thread of its own, so that it stays within its bounds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

from backend.storage.base import StorageError, Usage
from backend.storage.eviction import choose
from backend.storage.files import remove
from backend.storage.folders import Entry, Folders

log = logging.getLogger(__name__)

SWEEP_EVERY_S = 300.0
_WAKE_SHARE = 0.05
"""Of the bound: bytes to be put between two sweeps while the bound is passed."""
_CLOSE_TIMEOUT_S = 5.0


class Tally:
    """A running count of what a store holds, put right by each sweep."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held = Usage(0, 0)

    def add(self, *, images: int, size_bytes: int) -> None:
        """Count files that were put or, in negative numbers, removed."""
        with self._lock:
            held = self._held
            # Files of another process may go without ever having been counted here.
            self._held = Usage(max(0, held.images + images), max(0, held.size_bytes + size_bytes))

    def correct(self, before: Usage, found: Usage) -> None:
        """Replace what was counted `before` a sweep by what it `found`."""
        self.add(
            images=found.images - before.images, size_bytes=found.size_bytes - before.size_bytes
        )

    def usage(self) -> Usage:
        return self._held


class Sweeper:
    """Sweeps at the start, every five minutes, and soon after `max_bytes` is passed.

    `protected` names images that stay whatever their age. Since files younger than a minute
    stay too, a burst may pass `max_bytes` for that long.
    """

    def __init__(
        self,
        folders: Folders,
        tally: Tally,
        *,
        max_bytes: int,
        ttl_s: float,
        protected: Callable[[], set[UUID]] | None = None,
    ) -> None:
        self._folders = folders
        self._tally = tally
        self._max_bytes = max_bytes
        self._ttl_s = ttl_s
        self._protected = protected or set
        self._swept_at_bytes = 0
        self._sweeping = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="image-sweeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._wake.set()
        self._thread.join(_CLOSE_TIMEOUT_S)

    def look(self) -> None:
        """Wake the thread when there is too much. Cheap: called after every file put."""
        size_bytes = self._tally.usage().size_bytes
        grown_by = size_bytes - self._swept_at_bytes
        if size_bytes > self._max_bytes and grown_by > self._max_bytes * _WAKE_SHARE:
            self._wake.set()

    def sweep(self) -> None:
        """Remove now what `choose` lets go of. Raises what `protected` raises, and OSError."""
        with self._sweeping:
            before, now = self._tally.usage(), time.time()
            entries = list(self._folders.entries())
            doomed = choose(
                entries,
                now=now,
                max_bytes=self._max_bytes,
                ttl_s=self._ttl_s,
                protected=self._protected(),
            )
            gone = {entry.path for entry in doomed if _removed(entry)}
            # What was put since `before` is counted by the one who put it.
            left = [e for e in entries if e.path not in gone and e.created_at <= now]
            found = Usage(
                sum(entry.kind == "image" for entry in left),
                sum(entry.size_bytes for entry in left),
            )
            self._tally.correct(before, found)
            self._swept_at_bytes = found.size_bytes
        if gone:
            log.info("images swept", extra={"files": len(gone), "left_bytes": found.size_bytes})

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self.sweep()
            except Exception:
                log.exception("sweep failed")
            self._wake.wait(SWEEP_EVERY_S)
            self._wake.clear()


def _removed(entry: Entry) -> bool:
    try:
        remove(entry.path)
    except StorageError as error:
        log.warning("image not swept", extra={"error": str(error)})
        return False
    if entry.kind == "rendition":
        with suppress(OSError):
            entry.path.parent.rmdir()
    return True
