"""Syncs files to disk some time after they were written, off the road of the answer."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterable
from pathlib import Path

from backend.storage.files import sync

log = logging.getLogger(__name__)

ROUND_S = 0.5
"""Files gather for so long, so that a folder is synced once for all of them."""
_MAX_BEHIND = 256
_CLOSE_TIMEOUT_S = 5.0


class Syncer:
    """A thread that syncs files. When the disk is far behind, some are left to the system."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="image-syncer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def sync_later(self, path: Path) -> None:
        if self._waiting.qsize() < _MAX_BEHIND:
            self._waiting.put(path)
        else:
            log.debug("image left unsynced: the disk is behind")

    def close(self) -> None:
        """Sync what waits, for up to five seconds, and stop."""
        self._closing.set()
        self._waiting.put(None)
        if self._thread.is_alive():
            self._thread.join(_CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        while not self._closing.is_set():
            gathered = [self._waiting.get()]
            self._closing.wait(ROUND_S)
            while not self._waiting.empty():
                gathered.append(self._waiting.get())
            _sync(path for path in gathered if path is not None)


def _sync(paths: Iterable[Path]) -> None:
    files = list(paths)
    for path in [*files, *{file.parent for file in files}]:
        try:
            sync(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            log.warning("image not synced", extra={"errno": error.errno})
