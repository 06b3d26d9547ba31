"""Moving windows: how many of a kind there were in the last while, counted in one go.

Never more than `quota` are let in within any stretch of `period_s`. The windows of a request
are asked in order; one that is full refuses it, and those after it are not counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

FORGET_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Window:
    """One limit for one caller: `key` tells it from all others."""

    key: str
    quota: int
    period_s: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A window after it was asked: `used` of its quota, and when the oldest hit leaves it."""

    used: int
    resets_in_s: float
    is_refused: bool


class Windows(Protocol):
    """Counts hits. Safe to use from many threads."""

    def admit(self, windows: Sequence[Window]) -> Sequence[Standing]:
        """Count one hit in each, in order, up to the one that refuses it, the last answered."""
        ...


@dataclass(slots=True)
class _Hits:
    period_s: int
    times: deque[float] = field(default_factory=deque)

    def forget_before(self, time_s: float) -> None:
        while self.times and self.times[0] <= time_s:
            self.times.popleft()


class MemoryWindows:
    """Windows in this process's memory."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._hits: dict[str, _Hits] = {}
        self._forget_at = clock() + FORGET_EVERY_S
        self._lock = threading.Lock()

    def admit(self, windows: Sequence[Window]) -> Sequence[Standing]:
        standings: list[Standing] = []
        with self._lock:
            now = self._clock()
            if now >= self._forget_at:
                self._forget(now)
            for window in windows:
                standings.append(self._hit(window, now))
                if standings[-1].is_refused:
                    break
        return standings

    def _hit(self, window: Window, now: float) -> Standing:
        hits = self._hits.setdefault(window.key, _Hits(window.period_s))
        hits.forget_before(now - window.period_s)
        is_refused = len(hits.times) >= window.quota
        if not is_refused:
            hits.times.append(now)
        oldest = hits.times[0] if hits.times else now
        return Standing(len(hits.times), oldest + window.period_s - now, is_refused)

    def _forget(self, now: float) -> None:
        self._forget_at = now + FORGET_EVERY_S
        for key, hits in list(self._hits.items()):
            hits.forget_before(now - hits.period_s)
            if not hits.times:
                del self._hits[key]
