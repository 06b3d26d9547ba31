"""A simulated fleet on a simulated clock, and what is measured of a way to route."""

from __future__ import annotations

import heapq
import random
from collections import Counter
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
NOWHERE = -1
"""The engine of an event that is an arrival."""


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
    """Jobs in the order they arrive, for engines of `speeds` that begin with `loaded`."""

    speeds: Sequence[float]
    loaded: Sequence[str]
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
    """`utilisation`: the part of what the engines can do, as long as jobs come, that went
    into pictures. `makespan`: when the last job was done. Waits are seconds, `light_p99` is
    that of the half of the callers who ask least.
    """

    utilisation: float
    makespan: float
    warm_share: float
    wait_p50: float
    wait_p99: float
    light_p99: float
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
    loaded = [f"m{n // len(SPEEDS) % checkpoints}" for n in range(engines)]
    return Workload(speeds, loaded, jobs, now)


def simulate(load: Workload, routing: Routing) -> Measures:
    """Play all of `load` by the decisions of `routing`."""
    loaded = list(load.loaded)
    arrivals = ((job.arrives, job.number, NOWHERE, job) for job in load.jobs)
    events: list[tuple[float, int, int, Job]] = list(arrivals)
    waits: list[tuple[float, Job]] = []
    switches, useful, now, ended = 0, 0.0, 0.0, 0.0
    while events or routing.wake_at is not None:
        if routing.wake_at is not None and not (events and events[0][0] <= routing.wake_at):
            now = max(now, routing.wake_at)
        else:
            now, _, engine, job = heapq.heappop(events)
            if engine == NOWHERE:
                routing.arrive(job, now)
            else:
                routing.finish(engine, job, now)
                ended = now
        for engine, job in routing.starts(now):
            waits.append((now - job.arrives, job))
            speed, begins = load.speeds[engine], now
            if loaded[engine] != job.checkpoint:
                loaded[engine] = job.checkpoint
                switches += 1
                begins += SWITCH_STEPS / speed
            heapq.heappush(events, (begins + job.steps / speed, job.number, engine, job))
            useful += min(float(job.steps), speed * max(0.0, load.until - begins))
    return _measures(load, waits, switches, useful, ended)


def _measures(
    load: Workload, waits: list[tuple[float, Job]], switches: int, useful: float, ended: float
) -> Measures:
    asked = Counter(job.caller for job in load.jobs)
    middling = sorted(asked.values())[len(asked) // 2]
    return Measures(
        utilisation=useful / (load.capacity * load.until),
        makespan=ended,
        warm_share=1 - switches / len(load.jobs),
        wait_p50=_percentile([wait for wait, _ in waits], 50),
        wait_p99=_percentile([wait for wait, _ in waits], 99),
        light_p99=_percentile([wait for wait, job in waits if asked[job.caller] <= middling], 99),
        switches=switches,
    )


def _percentile(values: list[float], percent: int) -> float:
    return sorted(values)[len(values) * percent // 100]


def clairvoyant_utilisation(load: Workload) -> float:
    """What no order can exceed: all engines as one, never switching, never idle with work."""
    useful, backlog, then = 0.0, 0.0, 0.0
    for job in load.jobs:
        done = min(backlog, load.capacity * (job.arrives - then))
        useful, backlog, then = useful + done, backlog - done + job.steps, job.arrives
    return useful / (load.capacity * load.until)
