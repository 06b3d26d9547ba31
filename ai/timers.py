"""Callbacks at a later time, all on one thread."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)


class Timer:
    """A callback to come. `cancel` drops it, and whatever it holds on to, at once."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self._callback = None

    def fire(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class Timers:
    """Runs callbacks when their time of the monotonic clock has come. They should be short."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="pool-timers", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def at(self, when: float, callback: Callable[[], object]) -> Timer:
        """Have `callback` called at `when`, or at once if that is past."""
        timer = Timer(callback)
        with self._changed:
            heapq.heappush(self._due, (when, next(self._numbers), timer))
            if self._due[0][2] is timer:
                self._changed.notify()
        return timer

    def after(self, delay_s: float, callback: Callable[[], object]) -> Timer:
        return self.at(time.monotonic() + delay_s, callback)

    def close(self) -> None:
        """Drop what is still to come and end the thread."""
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while (timer := self._next()) is not None:
            try:
                timer.fire()
            except Exception:
                log.exception("a timer failed")

    def _next(self) -> Timer | None:
        with self._changed:
            while not self._closed:
                wait_s = self._due[0][0] - time.monotonic() if self._due else None
                if wait_s is not None and wait_s <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(wait_s)
        return None
