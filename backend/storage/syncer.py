"""Syncs files to disk some time after they were written, off the road of the answer."""

from __future__ import annotations

import logging
import queue
import threading
from pathlib import Path

from backend.storage.files import sync

log = logging.getLogger(__name__)

_MAX_BEHIND = 256
_CLOSE_TIMEOUT_S = 5.0


class Syncer:
    """A thread that syncs files. When the disk is far behind, some are left to the system."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Path | None] = queue.Queue(_MAX_BEHIND)
        self._thread = threading.Thread(target=self._run, name="image-syncer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def sync_later(self, path: Path) -> None:
        try:
            self._waiting.put_nowait(path)
        except queue.Full:
            log.debug("image left unsynced: the disk is behind")

    def close(self) -> None:
        """Sync what waits, for up to five seconds, and stop."""
        try:
            self._waiting.put(None, timeout=_CLOSE_TIMEOUT_S)
        except queue.Full:
            return
        self._thread.join(_CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        while (path := self._waiting.get()) is not None:
            try:
                sync(path)
                sync(path.parent)
            except FileNotFoundError:
                continue
            except OSError as error:
                log.warning("image not synced", extra={"errno": error.errno})
