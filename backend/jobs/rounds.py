"""Something done again and again, on a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 5.0


class Rounds:
    """Does `do` every `every_s` seconds from `start` on, and `soon` when that is asked."""

    def __init__(self, name: str, every_s: float, do: Callable[[], object]) -> None:
        self._every_s = every_s
        self._do = do
        self._closing = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def soon(self) -> None:
        """Do not wait for the next round's time."""
        self._wake.set()

    def close(self) -> None:
        """Begin no more; wait a few seconds for the one begun."""
        self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        while not self._closing:
            try:
                self._do()
            except Exception as error:
                # The next round may fare better; nothing is to end this thread.
                log.warning("round failed", extra={"error": type(error).__name__})
            self._wake.wait(self._every_s)
            self._wake.clear()
