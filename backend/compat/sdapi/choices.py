"""Which checkpoint each caller chose by POST options: his alone, and for a while."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

KEPT_S = 24 * 3600.0
"""A caller who has not asked for anything in a day starts anew."""
MOST = 10_000
"""Callers remembered at once; those who were not seen for longest go first."""


class Choices(Protocol):
    """Checkpoints by caller. Safe to use from many threads."""

    def of(self, caller: str) -> str | None:
        """What the caller chose; asking keeps it for as long again."""
        ...

    def choose(self, caller: str, checkpoint: str) -> None: ...


class ChosenCheckpoints:
    """Checkpoints by caller, in this process's memory."""

    def __init__(
        self, kept_s: float = KEPT_S, most: int = MOST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._kept_s = kept_s
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._chosen: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def of(self, caller: str) -> str | None:
        """What the caller chose; asking keeps it for as long again."""
        with self._lock:
            checkpoint, seen_at = self._chosen.pop(caller, ("", float("-inf")))
            now = self._clock()
            if now - seen_at >= self._kept_s:
                return None
            self._chosen[caller] = (checkpoint, now)
            return checkpoint

    def choose(self, caller: str, checkpoint: str) -> None:
        with self._lock:
            self._chosen.pop(caller, None)
            self._chosen[caller] = (checkpoint, self._clock())
            while len(self._chosen) > self._most:
                self._chosen.popitem(last=False)

    def forget(self, caller: str) -> None:
        with self._lock:
            self._chosen.pop(caller, None)
