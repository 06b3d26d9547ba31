"""What happened in a pool, kept for its listeners until nothing is locked."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial

log = logging.getLogger(__name__)


class News:
    """Calls of listeners, made in the order of what happened, whichever thread makes them."""

    def __init__(self) -> None:
        self._calls: deque[Callable[[], None]] = deque()
        self._announcing = threading.RLock()

    def tell(self, listener: Callable[..., None], *what: object) -> None:
        """To be announced. Called under the pool's lock."""
        self._calls.append(partial(listener, *what))

    def announce(self) -> None:
        """Make the calls there are. A listener that raises is logged, and does no harm."""
        with self._announcing:
            while self._calls:
                call = self._calls.popleft()
                try:
                    call()
                except Exception:
                    log.exception("a listener failed")
