"""A simulated fleet on a simulated clock, and what is measured of a way to route."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

MEGAPIXELS = 512 * 512 / 1e6
STEPS = (8, 20, 20, 20, 30)
MEAN_STEPS = sum(STEPS) / len(STEPS)
SWITCH_STEPS = 10
SPEEDS = (8.0, 12.0, 16.0, 24.0)
"""Steps a second of 512x512: cards of several years, one to three."""
LOAD = 0.9


@dataclass(frozen=True, slots=True)
class Job:
    number: int
    caller: str
    checkpoint: str
    steps: int
    arrives: float

    @property
    def work(self) -> float:
        return self.steps * MEGAPIXELS


@dataclass(frozen=True, slots=True)
class Workload:
    """Jobs in the order they arrive, for engines of `speeds`; arrivals end at `until`."""

    speeds: Sequence[float]
    jobs: Sequence[Job]
    until: float

    @property
    def capacity(self) -> float:
        """Steps a second of all engines together."""
        return sum(self.speeds)


class Routing(Protocol):
    """A way to route. Engines are numbers from 0; `starts` yields what begins now."""

    @property
    def wake_at(self) -> float | None: ...

    def arrive(self, job: Job, now: float) -> None: ...

    def finish(self, engine: int, job: Job, now: float) -> None: ...

    def starts(self, now: float) -> Iterator[tuple[int, Job]]: ...


@dataclass(frozen=True, slots=True)
class Measures:
    """`utilisation` is of the arrivals' time after its first fifth: pictures, not switches."""

    utilisation: float
    makespan: float
    warm_share: float
    wait_p50: float
    wait_p99: float
    switches: int


def workload(
    engines: int, checkpoints: int, *, jobs_per_engine: int, alike: bool = False, seed: int = 1
) -> Workload:
    """Poisson arrivals at 90 % of what the engines can do without ever switching."""
    chance = random.Random(seed)
    speeds = [12.0 if alike else SPEEDS[n % len(SPEEDS)] for n in range(engines)]
    rate = LOAD * sum(speeds) / MEAN_STEPS
    callers = max(32, 2 * engines)
    now, jobs = 0.0, []
    for number in range(engines * jobs_per_engine):
        now += chance.expovariate(rate)
        caller = int(callers * chance.random() ** 2)
        checkpoint = chance.randrange(checkpoints)
        jobs.append(Job(number, f"c{caller}", f"m{checkpoint}", chance.choice(STEPS), now))
    return Workload(speeds, jobs, now)


def simulate(load: Workload, routing: Routing) -> Measures:
    loaded: list[str | None] = [None] * len(load.speeds)
    events: list[tuple[float, int, int, Job]] = [
        (job.arrives, job.number, -1, job) for job in load.jobs
    ]
    waits: list[float] = []
    switches, useful, now = 0, 0.0, 0.0
    window = (load.until / 5, load.until)
    while events or routing.wake_at is not None:
        if events and (routing.wake_at is None or events[0][0] <= routing.wake_at):
            now, _, engine, job = heapq.heappop(events)
            if engine < 0:
                routing.arrive(job, now)
            else:
                routing.finish(engine, job, now)
        else:
            now = max(now, routing.wake_at or now)
        for engine, job in routing.starts(now):
            waits.append(now - job.arrives)
            begins = now
            if loaded[engine] != job.checkpoint:
                loaded[engine] = job.checkpoint
                switches += 1
                begins += SWITCH_STEPS / load.speeds[engine]
            ends = begins + job.steps / load.speeds[engine]
            heapq.heappush(events, (ends, job.number, engine, job))
            useful += load.speeds[engine] * max(0.0, min(ends, window[1]) - max(begins, window[0]))
    waits.sort()
    return Measures(
        utilisation=useful / (load.capacity * (window[1] - window[0])),
        makespan=now,
        warm_share=1 - switches / len(load.jobs),
        wait_p50=waits[len(waits) // 2],
        wait_p99=waits[len(waits) * 99 // 100],
        switches=switches,
    )


def clairvoyant_utilisation(load: Workload) -> float:
    """What no order can exceed: all engines as one, never switching, never idle with work."""
    window = (load.until / 5, load.until)
    useful, backlog, then = 0.0, 0.0, 0.0
    for job in load.jobs:
        busy_until = then + backlog / load.capacity
        useful += load.capacity * max(0.0, min(job.arrives, busy_until) - max(then, window[0]))
        backlog = max(0.0, backlog - load.capacity * (job.arrives - then)) + job.steps
        then = job.arrives
    return useful / (load.capacity * (window[1] - window[0]))
