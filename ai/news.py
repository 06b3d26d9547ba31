"""What happened in a pool, kept for its listener until nothing is locked."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

log = logging.getLogger(__name__)


class News:
    """Calls of a listener, to be made later and in order."""

    def __init__(self) -> None:
        self._calls: list[Callable[[], None]] = []

    def tell(self, listener: Callable[..., None], *what: object) -> None:
        self._calls.append(partial(listener, *what))

    def take(self) -> list[Callable[[], None]]:
        """What there is, which is then nobody else's to announce."""
        calls, self._calls = self._calls, []
        return calls


def announce(calls: list[Callable[[], None]]) -> None:
    """Make the calls. A listener that raises is logged, and does no harm."""
    for call in calls:
        try:
            call()
        except Exception:
            log.exception("a listener failed")
