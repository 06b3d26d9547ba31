"""The thread that waits for a job does what there is to do for it: no other has to be woken."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

Task = Callable[[], object]


class Attendance:
    """Tasks for one who waits, from `open` until he leaves."""

    def __init__(self) -> None:
        self._tasks: SimpleQueue[Task] = SimpleQueue()
        self._changing = threading.Lock()
        self.is_open = False

    def open(self) -> None:
        """Somebody is going to wait."""
        self.is_open = True

    def offer(self, task: Task) -> bool:
        """Have `task` done by him who waits; False when nobody does."""
        with self._changing:
            if self.is_open:
                self._tasks.put(task)
            return self.is_open

    def serve(self, timeout_s: float) -> bool:
        """Wait for a task and do it; False when none came in time."""
        try:
            task = self._tasks.get(timeout=timeout_s)
        except Empty:
            return False
        task()
        return True

    def leave(self) -> None:
        """Wait no more. What was offered by then is done first."""
        with self._changing:
            self.is_open = False
        while not self._tasks.empty():
            self._tasks.get()()
