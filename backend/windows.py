"""Moving windows: how many of a kind there were in the last while, counted in one go.

Never more than `quota` are let in within any stretch of `period_s`. The windows of a request
are asked in order; one that is full refuses it, and those after it are not counted. A hit that
should not have been is given back: until then it counts, for whoever comes in between.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
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


@dataclass(frozen=True, slots=True)
class Counted:
    """How each window stands after it was asked, up to the one that refused.

    `give_back` takes these hits, and no others, out again where they have not left by
    themselves, and answers how the windows stand then. It is to be called once at most.
    """

    standings: Sequence[Standing]
    give_back: Callable[[], Sequence[Standing]]


class Windows(Protocol):
    """Counts hits. Safe to use from many threads."""

    def admit(self, windows: Sequence[Window]) -> Counted:
        """Count one hit in each, in order, up to the one that refuses it."""
        ...


@dataclass(slots=True)
class _Hits:
    period_s: int
    times: deque[float] = field(default_factory=deque)

    def forget_before(self, time_s: float) -> None:
        while self.times and self.times[0] <= time_s:
            self.times.popleft()

    def standing(self, now: float, *, is_refused: bool) -> Standing:
        oldest = self.times[0] if self.times else now
        return Standing(len(self.times), oldest + self.period_s - now, is_refused)


class MemoryWindows:
    """Windows in this process's memory."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._hits: dict[str, _Hits] = {}
        self._forget_at = clock() + FORGET_EVERY_S
        self._lock = threading.Lock()

    def admit(self, windows: Sequence[Window]) -> Counted:
        standings: list[Standing] = []
        with self._lock:
            now = self._clock()
            if now >= self._forget_at:
                self._forget(now)
            for window in windows:
                standings.append(self._hit(window, now))
                if standings[-1].is_refused:
                    break
        hit = [w for w, s in zip(windows, standings, strict=False) if not s.is_refused]
        return Counted(standings, partial(self._give_back, hit, now))

    def _give_back(self, windows: Sequence[Window], hit_at: float) -> Sequence[Standing]:
        with self._lock:
            return [self._take_out(window, hit_at) for window in windows]

    def _hit(self, window: Window, now: float) -> Standing:
        hits = self._recent(window, now)
        is_refused = len(hits.times) >= window.quota
        if not is_refused:
            hits.times.append(now)
        return hits.standing(now, is_refused=is_refused)

    def _take_out(self, window: Window, hit_at: float) -> Standing:
        now = self._clock()
        hits = self._recent(window, now)
        # Of several at the very same time any one will do.
        with suppress(ValueError):
            hits.times.remove(hit_at)
        return hits.standing(now, is_refused=False)

    def _recent(self, window: Window, now: float) -> _Hits:
        hits = self._hits.setdefault(window.key, _Hits(window.period_s))
        hits.forget_before(now - window.period_s)
        return hits

    def _forget(self, now: float) -> None:
        self._forget_at = now + FORGET_EVERY_S
        for key, hits in list(self._hits.items()):
            hits.forget_before(now - hits.period_s)
            if not hits.times:
                del self._hits[key]
