"""The values of the pool: how it is to behave, what it answers, what it tells of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from ai.correlation import Correlation
from ai.engines.base import Device, Tier
from ai.errors import EngineError, GenerationError
from ai.generation import Generation, Work

CpuFallback = Literal["off", "on", "overflow"]
EngineState = Literal["unknown", "up", "cooling", "down"]


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """How the pool behaves. Every field may be set; times are seconds.

    `max_queue` bounds the requests that wait in all, `max_queue_per_caller` those of one
    caller: half, so that nobody can fill the queue alone. A request that has not started
    after `queue_timeout_s` is given up. `engine_timeout_s` is for one attempt,
    `max_retries` counts the other engines tried after the first.

    `cpu_fallback` says when CPU engines serve beside GPU ones: "off" never, "on" when no
    GPU engine that could serve is healthy, "overflow" also when the wait for one would be
    longer than a CPU engine with the very checkpoint needs. Without GPU engines the CPU
    ones serve whatever it says.

    Engines are probed every `probe_interval_s`, or `facts_fresh_s` while requests prove them
    well. One that fails rests `cooldown_first_s`, then twice as long each time, at most
    `cooldown_max_s`; out of memory, an unreachable engine and a lost connection rest it at
    once, other failures when `failures_to_cool` come in a row. `start` waits at most
    `first_probe_s` for the first answers.
    """

    max_queue: int = 100
    max_queue_per_caller: int = 50
    queue_timeout_s: float = 300.0
    engine_timeout_s: float = 600.0
    max_retries: int = 2
    cpu_fallback: CpuFallback = "on"
    probe_interval_s: float = 5.0
    facts_fresh_s: float = 60.0
    first_probe_s: float = 5.0
    cooldown_first_s: float = 1.0
    cooldown_max_s: float = 60.0
    failures_to_cool: int = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request: the images, who made them and what it took.

    `fallback` is True when a CPU engine served in place of a GPU one. `attempts` counts
    the engines asked. `queue_s` is all the time waited, `engine_s` the last attempt's.
    """

    generation: Generation
    engine: str
    device: Device
    attempts: int
    fallback: bool
    queue_s: float
    engine_s: float


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """One engine as the pool sees it now. `queue` counts the waiting it could serve.

    `places` is how many requests may be in flight there, 0 while it is not usable.

    state: "up" is asked, "cooling" rests after a failure, "down" does not answer probes,
    "unknown" has not been probed yet.
    """

    name: str
    tier: Tier
    device: Device
    state: EngineState
    loaded: str | None
    places: int
    in_flight: int
    queue: int
    last_error: str | None
    cooldown_left_s: float


@dataclass(frozen=True, slots=True)
class PoolCheckpoint:
    """A checkpoint of the pool: which engines have it, which of them have it in memory."""

    name: str
    title: str
    hash: str | None
    engines: tuple[str, ...]
    loaded_on: tuple[str, ...]
    devices: tuple[Device, ...]


class PoolEvents(Protocol):
    """What the pool tells a listener, such as metrics. Calls are short and do not raise."""

    def engine_state_changed(
        self, engine: str, old: EngineState, new: EngineState, reason: str
    ) -> None: ...

    def switched(self, engine: str, checkpoint: str) -> None: ...

    def retried(self, engine: str, error: EngineError) -> None: ...

    def fell_back(self, engine: str) -> None: ...

    def failed(self, engine: str, error: EngineError) -> None: ...

    def ended(
        self,
        request: Work,
        result: Outcome | GenerationError,
        queue_s: float,
        correlation: Correlation,
    ) -> None:
        """`queue_s` is all the time it waited, whatever for."""
        ...


class NoEvents:
    """A listener that does nothing."""

    def engine_state_changed(
        self, engine: str, old: EngineState, new: EngineState, reason: str
    ) -> None:
        """Ignored."""

    def switched(self, engine: str, checkpoint: str) -> None:
        """Ignored."""

    def retried(self, engine: str, error: EngineError) -> None:
        """Ignored."""

    def fell_back(self, engine: str) -> None:
        """Ignored."""

    def failed(self, engine: str, error: EngineError) -> None:
        """Ignored."""

    def ended(
        self,
        request: Work,
        result: Outcome | GenerationError,
        queue_s: float,
        correlation: Correlation,
    ) -> None:
        """Ignored."""
