"""The members of a pool: each an engine, its health, and the threads that call it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from ai.crew import Call, Crew
from ai.engines.base import Engine
from ai.health import EngineHealth
from ai.pool_values import EngineStatus, PoolPolicy

CLOSE_S = 5.0
"""How long closing waits for engines that do not let go."""


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
        self._crew = Crew(f"engine-{engine.name}", engine.concurrency)

    @property
    def slots(self) -> int:
        """How many requests it may have in flight now."""
        if not self.health.usable:
            return 0
        return 1 if self.health.on_trial else self.engine.concurrency

    def call(self, call: Call) -> None:
        """Have one of its threads do `call`."""
        self._crew.do(call)

    def stop(self) -> None:
        """Let the threads end once they have done what they were given."""
        self._crew.stop()

    def close(self, deadline: float) -> None:
        """After `stop`: wait for the threads until `deadline`, give the engine back."""
        self._crew.join(deadline)
        self.engine.close()

    def status(self, now: float, queue: int) -> EngineStatus:
        return EngineStatus(
            name=self.name,
            tier=self.engine.tier,
            device=self.engine.device,
            state=self.health.state,
            loaded=self.loaded,
            places=self.slots,
            in_flight=self.in_flight,
            queue=queue,
            last_error=self.health.last_error,
            cooldown_left_s=self.health.cooldown_left_s(now),
        )


class Members:
    """All members by name. Raises ValueError when two engines have the same."""

    def __init__(self, engines: Sequence[Engine], policy: PoolPolicy) -> None:
        self._members = {engine.name: Member(engine, policy) for engine in engines}
        if len(self._members) != len(engines):
            raise ValueError("the engines of a pool need different names")

    def __getitem__(self, name: str) -> Member:
        return self._members[name]

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def of(self, names: Iterable[str]) -> list[Member]:
        return [self._members[name] for name in names]

    @property
    def in_flight(self) -> int:
        return sum(member.in_flight for member in self)

    def close(self) -> None:
        deadline = time.monotonic() + CLOSE_S
        for member in self:
            member.stop()
        for member in self:
            member.close(deadline)
