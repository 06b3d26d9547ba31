"""The engines of all workers, as these tell of them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ai.catalogue import Catalogue
from ai.correlation import NOBODY, Correlation
from ai.engines.base import EngineFacts, ListName, Sampler
from ai.errors import NoEngine, UnsupportedRequest
from ai.generation import Ability, GenerationRequest, Work
from ai.pool import EnginePool
from ai.pool_values import CpuFallback, EngineStatus, PoolCheckpoint
from ai.tickets import Ticket
from backend.jobs.bulletin import Bulletin
from backend.jobs.line import Waiting
from backend.jobs.lists import MEMORY, ListsElsewhere, ToldLists
from backend.jobs.records import LedgerUnavailable

log = logging.getLogger(__name__)

REPORT_EVERY_S = 2.0
REPORT_KEPT_S = 10
"""A worker not heard of for so long is not there."""
READ_EVERY_S = 1.0
CLOSE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """A worker's pool: whether it serves, its engines, and what those it reached can do.

    `places` is how many requests they can work on at once. `lists` is the digest under which
    it tells of their WebUI lists, None before it has looked; `memory` is theirs.
    """

    serves: bool
    places: int
    engines: tuple[EngineStatus, ...]
    facts: Mapping[str, EngineFacts]
    lists: str | None = None
    memory: tuple[Any, ...] = ()


_REPORT = TypeAdapter(WorkerReport)


def report_of(pool: EnginePool, lists: ToldLists) -> bytes:
    """What a worker tells of its pool."""
    engines = pool.status()
    report = WorkerReport(
        serves=pool.can_serve(),
        places=places_of(engines),
        engines=engines,
        facts=pool.facts(),
        lists=lists.digest,
        memory=lists.memory,
    )
    return _REPORT.dump_json(report)


def places_of(engines: Sequence[EngineStatus]) -> int:
    """How many requests they work on at once: the GPUs, or where none is usable the CPUs."""
    gpu = sum(engine.places for engine in engines if engine.tier == "gpu")
    return gpu or sum(engine.places for engine in engines)


class _View:
    """All reports of a moment as one."""

    def __init__(self, reports: list[WorkerReport], cpu_fallback: CpuFallback) -> None:
        engines = (engine for report in reports for engine in report.engines)
        self.engines = {engine.name: engine for engine in sorted(engines, key=lambda e: e.name)}
        self.serves = any(report.serves for report in reports)
        self.places = sum(report.places for report in reports)
        self.memory = [told for report in reports for told in report.memory]
        self.catalogue = Catalogue(list(self.engines.values()), cpu_fallback)
        for report in reports:
            for name, facts in report.facts.items():
                self.catalogue.learn(name, facts)


class RemotePool:
    """What the workers' pools are together. It is looked at every second, and kept in between."""

    def __init__(
        self, bulletin: Bulletin, cpu_fallback: CpuFallback, waiting: Callable[[], Waiting]
    ) -> None:
        self._bulletin = bulletin
        self._cpu_fallback = cpu_fallback
        self._count_waiting = waiting
        self._waiting = Waiting()
        self._lists = ListsElsewhere(bulletin)
        self._reports: Mapping[str, WorkerReport] = {}
        self._lenient_until = float("-inf")
        self._view = _View([], cpu_fallback)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="workers", daemon=True)

    def start(self) -> None:
        self._read()
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_TIMEOUT_S)

    def require(self, request: GenerationRequest) -> None:
        """Refuse what no worker could make.

        Raises UnknownCheckpoint, UnknownSampler, UnknownScheduler or UnsupportedRequest when
        none ever could, NoEngine when none can now.
        """
        view = self._view
        if not view.serves:
            raise NoEngine("No worker that can generate is there now.")
        with self._lock:
            able = frozenset[str]().union(*view.catalogue.match(request).choices)
        if not any(view.engines[name].state in ("up", "cooling") for name in able):
            raise NoEngine("No engine that could do this can be reached now.")

    @property
    def places(self) -> int:
        """How many requests all engines can work on at once."""
        return self._view.places

    # As a pool is seen.

    def submit(
        self,
        request: Work,
        *,
        caller: str,
        timeout_s: float | None = None,
        correlation: Correlation = NOBODY,
    ) -> Ticket:
        """Workers make jobs alone. Raises UnsupportedRequest."""
        raise UnsupportedRequest("image", "tools are not offered where workers make the images")

    def listings(self, name: ListName) -> list[Any]:
        """What the workers' engines answered when these last looked."""
        return self._view.memory if name == MEMORY else self._lists.of(name)

    def abilities(self) -> frozenset[Ability]:
        """All that some engine of some worker can do."""
        return self._view.catalogue.abilities()

    def status(self) -> tuple[EngineStatus, ...]:
        return tuple(self._view.engines.values())

    def queue_length(self) -> int:
        return self._waiting.count

    def oldest_wait_s(self) -> float:
        return self._waiting.oldest_s

    def can_serve(self) -> bool:
        return self._view.serves and not self._closing.is_set()

    def checkpoints(self) -> tuple[PoolCheckpoint, ...]:
        view = self._view
        return view.catalogue.checkpoints(lambda name: view.engines[name].loaded)

    def samplers(self) -> tuple[Sampler, ...]:
        return self._view.catalogue.samplers()

    def schedulers(self) -> tuple[str, ...]:
        return self._view.catalogue.schedulers()

    def _run(self) -> None:
        while not self._closing.wait(READ_EVERY_S):
            try:
                self._read()
            except Exception:
                log.exception("workers not read")

    def _read(self) -> None:
        self._hear(self._bulletin.workers(), time.monotonic())
        try:
            self._waiting = self._count_waiting()
        except LedgerUnavailable:
            log.warning("queue not counted")

    def _hear(self, told: Mapping[str, bytes] | None, now: float) -> None:
        """While Redis cannot be read nobody is gone, nor until there was time to report again."""
        if told is None:
            self._lenient_until = now + REPORT_KEPT_S
            return
        heard = {name: report for name, text in told.items() if (report := parsed(text))}
        self._reports = {**self._reports, **heard} if now < self._lenient_until else heard
        self._lists.follow(report.lists for report in self._reports.values())
        self._view = _View(list(self._reports.values()), self._cpu_fallback)


def parsed(text: bytes) -> WorkerReport | None:
    """What `report_of` wrote; None where another version of us did."""
    try:
        return _REPORT.validate_json(text)
    except ValidationError:
        log.warning("report of a worker of another version")
        return None
