"""Has what was written reach the disk some time after, off the road of the answer."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from backend.storage.files import sync_file_system

log = logging.getLogger(__name__)

ROUND_S = 2.0
"""What is written meanwhile reaches the disk together. Writes wait some 20 ms for each round."""
_CLOSE_TIMEOUT_S = 5.0


class Syncer:
    """A thread that syncs the file system of `root`, a moment after something was written there.

    One call for all of it: syncing each file and its folder would be dozens of calls a second,
    after each of which the thread wants the interpreter back from those who answer requests.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._written = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="image-syncer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def sync_later(self) -> None:
        """Something was written. Never waits, however far the disk is behind."""
        if not self._written.is_set():
            self._written.set()

    def close(self) -> None:
        """Sync what was written, for up to five seconds, and stop."""
        self._closing.set()
        self._written.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._written.wait()
            is_last = self._closing.wait(ROUND_S)
            self._written.clear()
            self._sync()

    def _sync(self) -> None:
        try:
            sync_file_system(self._root)
        except OSError as error:
            log.warning("images not synced", extra={"errno": error.errno})
