"""What is shown of the engines: those of this process, or those that workers tell of."""

from __future__ import annotations

from typing import Any, Protocol

from ai.correlation import NOBODY, Correlation
from ai.engines.base import ListName, Sampler
from ai.generation import Ability, Work
from ai.pool_values import EngineStatus, PoolCheckpoint
from ai.tickets import Ticket


class PoolView(Protocol):
    """Every method answers at once. `ai.pool.EnginePool` is one."""

    def start(self) -> None: ...

    def submit(
        self,
        request: Work,
        *,
        caller: str,
        timeout_s: float | None = None,
        correlation: Correlation = NOBODY,
    ) -> Ticket:
        """Have a tool's work done. Raises UnsupportedRequest where only workers could."""
        ...

    def listings(self, name: ListName) -> list[Any]:
        """What each engine that is up answers for a WebUI's list."""
        ...

    def abilities(self) -> frozenset[Ability]:
        """All that some engine can do for us."""
        ...

    def status(self) -> tuple[EngineStatus, ...]:
        """Every engine as it is now."""
        ...

    def queue_length(self) -> int:
        """How many requests wait."""
        ...

    def oldest_wait_s(self) -> float:
        """How long the one that waits longest has; 0 where none does."""
        ...

    def can_serve(self) -> bool:
        """Whether some engine is usable, or rests only for a moment; not while closing."""
        ...

    def checkpoints(self) -> tuple[PoolCheckpoint, ...]:
        """Every checkpoint of every engine, once each."""
        ...

    def samplers(self) -> tuple[Sampler, ...]:
        """Every sampler of every engine, once each, with all its aliases."""
        ...

    def schedulers(self) -> tuple[str, ...]:
        """Every noise schedule of every engine, once each."""
        ...
