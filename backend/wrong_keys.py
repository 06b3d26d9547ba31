"""How many wrong keys an address may send."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from limits import RateLimitItem

from backend.accounts.errors import TooManyWrongKeys
from backend.rate_limits import window_of
from backend.windows import Windows

MOST = 10_000
"""Refused addresses remembered at once; the first to be refused go first."""


class WrongKeys:
    """Counts them by address in `windows`, as `limit` says.

    An address that was refused is remembered here until there may be room again, so that it
    costs no look elsewhere.
    """

    def __init__(
        self, limit: RateLimitItem, windows: Windows, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._windows = windows
        self._clock = clock
        self._refused: dict[str, float] = {}
        self._changing = threading.Lock()

    def is_refused(self, address: str) -> bool:
        """Whether one more from there would be too many, as far as is known here."""
        return self._left_s(address) > 0

    def count(self, address: str) -> None:
        """One more came from there. Raises TooManyWrongKeys."""
        left_s = self._left_s(address)
        if left_s <= 0:
            counted = self._windows.admit([window_of(self._limit, address, "wrong-keys")])
            if not counted.standings[-1].is_refused:
                return
            left_s = counted.standings[-1].resets_in_s
            self._remember(address, self._clock() + left_s)
        raise TooManyWrongKeys(max(1.0, left_s))

    def _left_s(self, address: str) -> float:
        return self._refused.get(address, float("-inf")) - self._clock()

    def _remember(self, address: str, until: float) -> None:
        with self._changing:
            self._refused.pop(address, None)
            self._refused[address] = until
            if len(self._refused) > MOST:
                del self._refused[next(iter(self._refused))]
