"""Sweeps a store on a thread of its own, so that it stays within its bounds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

from backend.storage.base import StorageError
from backend.storage.eviction import choose
from backend.storage.files import remove
from backend.storage.folders import Entry, Folders
from backend.storage.tally import Tally

log = logging.getLogger(__name__)

SWEEP_EVERY_S = 300.0
_WAKE_SHARE = 0.05
"""Of the bound: bytes to be put between two sweeps while the bound is passed."""
_CLOSE_TIMEOUT_S = 5.0


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
            self._tally.begin_recount()
            entries = list(self._folders.entries())
            doomed = choose(
                entries,
                now=time.time(),
                max_bytes=self._max_bytes,
                ttl_s=self._ttl_s,
                protected=self._protected(),
            )
            gone = {entry.path for entry in doomed if _removed(entry)}
            left = {e.path: e.usage for e in entries if e.path not in gone and e.is_kept}
            self._tally.recounted(left)
            # Not what is held by now: files put since the look must count as growth.
            self._swept_at_bytes = sum(file.size_bytes for file in left.values())
        if gone:
            log.info("images swept", extra={"removed": len(gone), "left": len(left)})

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
