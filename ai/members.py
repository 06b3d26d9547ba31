"""A member of the pool: an engine, its health, and the threads that call it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from ai.engines.base import Engine
from ai.health import EngineHealth
from ai.pool_values import EngineStatus, PoolPolicy

JOIN_S = 5.0
"""How long closing waits for a thread whose engine does not let go."""

Call = Callable[[], None]


class Member:
    """One engine of the pool, with one thread for each request it may have in flight.

    Everything but the threads' own waiting happens under the pool's lock.
    """

    def __init__(self, engine: Engine, policy: PoolPolicy) -> None:
        self.engine = engine
        self.name = engine.name
        self.health = EngineHealth(policy)
        self.loaded: str | None = None
        self.in_flight = 0
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"engine-{engine.name}", daemon=True)
            for _ in range(engine.concurrency)
        ]

    @property
    def slots(self) -> int:
        """How many requests it may have in flight now."""
        if not self.health.usable:
            return 0
        return 1 if self.health.on_trial else self.engine.concurrency

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def call(self, call: Call) -> None:
        """Have one of its threads do `call`."""
        self._calls.put(call)

    def close(self) -> None:
        """End the threads, after what they still have to do, and give the engine back."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join(JOIN_S)
        self.engine.close()

    def status(self, now: float, queue: int) -> EngineStatus:
        return EngineStatus(
            name=self.name,
            tier=self.engine.tier,
            device=self.engine.device,
            state=self.health.state,
            loaded=self.loaded,
            in_flight=self.in_flight,
            queue=queue,
            last_error=self.health.last_error,
            cooldown_left_s=self.health.cooldown_left_s(now),
        )

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
