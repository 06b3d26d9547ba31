"""Threads that callers hold for long, so that some are left for whoever is answered at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from backend.errors import TooManyWaiting

RESERVED = 16
"""Threads that nobody may hold: they answer /health, /metrics, images and refusals."""


class Seats:
    """All but RESERVED of `threads`, but at least three quarters of them."""

    def __init__(self, threads: int) -> None:
        self._count = threads - min(RESERVED, threads // 4)
        self._free = threading.BoundedSemaphore(self._count)

    def take(self) -> None:
        """Hold one until `give_back`. Raises TooManyWaiting."""
        if not self._free.acquire(blocking=False):
            raise TooManyWaiting(
                f"{self._count} callers wait on connections already; come back later, or ask "
                "with `Prefer: respond-async`."
            )

    def give_back(self) -> None:
        self._free.release()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold one. Raises TooManyWaiting."""
        self.take()
        try:
            yield
        finally:
            self.give_back()
