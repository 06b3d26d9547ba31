"""The ways to route that Sluice's is measured against, and Sluice's own, for the simulation."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from heapq import heappop, heappush

from ai.routing import Router, Waiting
from bench.routing_simulation import SWITCH_STEPS, Job, Routing, Workload


class Sluice:
    """The gateway's own router, with nothing told it beforehand."""

    def __init__(self, load: Workload) -> None:
        self.router = Router()
        self._everywhere = (frozenset(f"e{n}" for n in range(len(load.speeds))),)
        self._jobs: dict[int, Job] = {}
        for n in range(len(load.speeds)):
            self.router.set_engine(f"e{n}", slots=1, loaded=load.loaded[n])

    @property
    def wake_at(self) -> float | None:
        return self.router.wake_at

    def arrive(self, job: Job, now: float) -> None:
        self._jobs[job.number] = job
        self.router.add(
            Waiting(job.number, job.caller, job.checkpoint, self._everywhere, job.work, now)
        )

    def finish(self, engine: int, job: Job, now: float) -> None:
        self.router.finished(f"e{engine}", job.number, now, loaded=job.checkpoint, learn=True)

    def starts(self, now: float) -> Iterator[tuple[int, Job]]:
        while (start := self.router.decide(now)) is not None:
            yield int(start.engine[1:]), self._jobs.pop(start.job.id)


class _PerEngine:
    """Each engine has a queue of its own, chosen when a job arrives."""

    wake_at: float | None = None

    def __init__(self, load: Workload) -> None:
        self._speeds = load.speeds
        self._queues: list[deque[Job]] = [deque() for _ in load.speeds]
        self._busy = [False] * len(load.speeds)
        self._touched: list[int] = []

    def choose(self, job: Job) -> int:
        raise NotImplementedError

    def arrive(self, job: Job, now: float) -> None:
        engine = self.choose(job)
        self._queues[engine].append(job)
        self._touched.append(engine)

    def finish(self, engine: int, job: Job, now: float) -> None:
        self._busy[engine] = False
        self._touched.append(engine)

    def starts(self, now: float) -> Iterator[tuple[int, Job]]:
        while self._touched:
            engine = self._touched.pop()
            if not self._busy[engine] and self._queues[engine]:
                self._busy[engine] = True
                yield engine, self._queues[engine].popleft()


class RoundRobin(_PerEngine):
    """Each job to the next engine in a fixed order."""

    def __init__(self, load: Workload) -> None:
        super().__init__(load)
        self._next = 0

    def choose(self, job: Job) -> int:
        self._next += 1
        return self._next % len(self._speeds)


class LeastLoaded(_PerEngine):
    """Each job to the engine that would be done with it first, checkpoints left out of it."""

    def __init__(self, load: Workload) -> None:
        super().__init__(load)
        self._steps = [0] * len(load.speeds)
        self._by_speed: dict[float, list[tuple[int, int]]] = {}
        for engine, speed in enumerate(load.speeds):
            self._by_speed.setdefault(speed, []).append((0, engine))

    def choose(self, job: Job) -> int:
        engine = min(
            (self._least_of(heap) for heap in self._by_speed.values()),
            key=lambda n: (self._steps[n] + job.steps) / self._speeds[n],
        )
        self._add(engine, job.steps)
        return engine

    def finish(self, engine: int, job: Job, now: float) -> None:
        self._add(engine, -job.steps)
        super().finish(engine, job, now)

    def _add(self, engine: int, steps: int) -> None:
        self._steps[engine] += steps
        heappush(self._by_speed[self._speeds[engine]], (self._steps[engine], engine))

    def _least_of(self, heap: list[tuple[int, int]]) -> int:
        while heap[0][0] != self._steps[heap[0][1]]:
            heappop(heap)
        return heap[0][1]


class Pressure:
    """SwarmUI's rule: an engine goes on with its model; without work there, it loads the one
    with the greatest wait x count that has waited for 1.5 s and is not being loaded elsewhere.
    """

    TOO_NEW_S = 1.5

    def __init__(self, load: Workload) -> None:
        self.wake_at: float | None = None
        self._speeds = load.speeds
        self._loaded = list(load.loaded)
        self._waiting: OrderedDict[str, deque[Job]] = OrderedDict()
        self._loading: dict[str, float] = {}
        self._idle: OrderedDict[int, None] = OrderedDict.fromkeys(range(len(load.speeds)))
        self._idle_by_model: dict[str, OrderedDict[int, None]] = {}
        for engine, model in enumerate(load.loaded):
            self._idle_by_model.setdefault(model, OrderedDict())[engine] = None

    def arrive(self, job: Job, now: float) -> None:
        self._waiting.setdefault(job.checkpoint, deque()).append(job)

    def finish(self, engine: int, job: Job, now: float) -> None:
        self._idle[engine] = None
        self._idle_by_model.setdefault(self._loaded[engine], OrderedDict())[engine] = None

    def starts(self, now: float) -> Iterator[tuple[int, Job]]:
        for model in list(self._waiting):
            while model in self._waiting and self._idle_by_model.get(model):
                yield self._take(next(iter(self._idle_by_model[model])), model)
        self._loading = {model: until for model, until in self._loading.items() if until > now}
        self.wake_at = None
        while self._idle:
            free = [model for model in self._waiting if model not in self._loading]
            due = [m for m in free if len(self._idle) == 1 or self._wait(m, now) > self.TOO_NEW_S]
            if not due:
                later = [self._waiting[m][0].arrives + self.TOO_NEW_S + 1e-6 for m in free]
                later += [until for m, until in self._loading.items() if m in self._waiting]
                self.wake_at = min(later, default=None)
                return
            model = max(due, key=lambda m: self._wait(m, now) * len(self._waiting[m]))
            engine = next(iter(self._idle))
            self._loading[model] = now + SWITCH_STEPS / self._speeds[engine]
            yield self._take(engine, model)

    def _wait(self, model: str, now: float) -> float:
        return now - self._waiting[model][0].arrives

    def _take(self, engine: int, model: str) -> tuple[int, Job]:
        del self._idle[engine]
        del self._idle_by_model[self._loaded[engine]][engine]
        self._loaded[engine] = model
        jobs = self._waiting[model]
        job = jobs.popleft()
        if not jobs:
            del self._waiting[model]
        return engine, job


RIVALS: dict[str, Callable[[Workload], Routing]] = {
    "sluice": Sluice,
    "round-robin": RoundRobin,
    "least-loaded": LeastLoaded,
    "pressure": Pressure,
}
