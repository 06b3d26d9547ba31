"""Threads that do what they are given, the one that rested last first: its memory is warm."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

log = logging.getLogger(__name__)

Call = Callable[[], object]


class _Hand:
    """One thread's own bell, and what it is to do when that rings; None to go home."""

    __slots__ = ("bell", "call")

    def __init__(self) -> None:
        self.bell = threading.Lock()
        self.bell.acquire()
        self.call: Call | None = None

    def give(self, call: Call | None) -> None:
        self.call = call
        self.bell.release()


class Crew:
    """At most `size` threads called `name`, begun when they are first needed.

    A queue that several threads wait at would wake a second one each time (queue.SimpleQueue
    does), and would wake them in turn, so that every one's memory is cold.
    """

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._threads: list[threading.Thread] = []
        self._resting: list[_Hand] = []
        self._waiting: deque[Call] = deque()
        self._going = False
        self._changing = threading.Lock()

    @property
    def has_spare(self) -> bool:
        """Whether one more call would be done at once."""
        return bool(self._resting) or len(self._threads) < self._size

    def do(self, call: Call) -> None:
        """Have `call` done as soon as a thread is free; never after `stop`.

        Raises RuntimeError where the system grants no thread at all.
        """
        with self._changing:
            if self._going:
                return
            hand = self._resting.pop() if self._resting else self._hired()
            if hand is None:
                self._waiting.append(call)
            else:
                hand.give(call)

    def stop(self) -> None:
        """Let the threads end once they have done what they were given."""
        with self._changing:
            self._going = True
            while self._resting:
                self._resting.pop().give(None)

    def join(self, deadline: float) -> None:
        """Wait for the threads to end, until `deadline` of the monotonic clock."""
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _hired(self) -> _Hand | None:
        """One more; None where there are enough, or as many as the system grants."""
        if len(self._threads) == self._size:
            return None
        hand = _Hand()
        thread = threading.Thread(target=self._work, args=(hand,), name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:
                raise
            return None
        self._threads.append(thread)
        return hand

    def _work(self, hand: _Hand) -> None:
        while self._did_next(hand):
            pass

    def _did_next(self, hand: _Hand) -> bool:
        """Wait for a call and do it; nothing of it is held on to while the next is waited for."""
        hand.bell.acquire()
        call, hand.call = hand.call, None
        if call is None:
            return False
        try:
            call()
        except BaseException:  # the thread is counted on, whatever was raised
            log.exception("a call failed")
        with self._changing:
            if self._waiting:
                hand.give(self._waiting.popleft())
            elif self._going:
                return False
            else:
                self._resting.append(hand)
        return True
