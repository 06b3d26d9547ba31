"""How routing does on simulated fleets, beside other ways to route.

Poisson arrivals at 90 % of what the engines could make if they never loaded a checkpoint;
loading one takes as long as ten steps, a request 8 to 30. "mixed" engines differ in speed,
1 to 3; "alike" ones do not. Utilisation is the part of the engines' time, while requests
come, that goes into pictures; beside it what no order could exceed, though it knew all
requests beforehand. Waits are in seconds, "light" those of the callers who ask least.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence

from ai.routing import Router, Waiting
from bench.plan import Plan
from bench.report import Bar, Cell, Part, Table
from bench.routing_rivals import RIVALS
from bench.routing_simulation import (
    Measures,
    clairvoyant_utilisation,
    simulate,
    workload,
)

FLEETS = {4: 500, 64: 60, 1000: 20}
"""Engines, and requests for each of them."""
MIXES = (1, 2, 8)
LEAST_UTILISATION = 0.95
MOST_MAKESPAN = 0.5
MOST_DECISION_S = 0.001
COLUMNS = (
    "engines",
    "kind",
    "mix",
    "routing",
    "utilisation",
    "of best",
    "warm",
    "wait p50",
    "p99",
    "light p99",
    "switches",
    "makespan",
    "arrivals end",
)


def run(plan: Plan) -> Part:
    shorter = 4 if plan.quick else 2
    rows: list[Sequence[Cell]] = []
    bars: list[Bar] = []
    for engines, jobs_per_engine in FLEETS.items():
        for checkpoints in MIXES:
            for alike in (False, True):
                more_rows, more_bars = compare(
                    engines, checkpoints, jobs_per_engine // shorter, alike=alike
                )
                rows += more_rows
                bars += more_bars
    for checkpoints in (8, 50):
        costs = decision_cost(1000, 10_000, checkpoints, 2000 // shorter)
        what = f"seconds for a decision, 1000 engines, 10,000 waiting for {checkpoints} checkpoints"
        bars.append(Bar(what, statistics.mean(costs), MOST_DECISION_S))
    return Part("routing", [Table("Routing on simulated fleets", COLUMNS, rows)], bars)


def compare(
    engines: int, checkpoints: int, jobs_per_engine: int, *, alike: bool
) -> tuple[list[Sequence[Cell]], list[Bar]]:
    """Rows of the table for one fleet and mix; the bars it is held to."""
    load = workload(engines, checkpoints, jobs_per_engine=jobs_per_engine, alike=alike)
    best = clairvoyant_utilisation(load)
    found = {name: simulate(load, rival(load)) for name, rival in RIVALS.items()}
    kind = "alike" if alike else "mixed"
    rows: list[Sequence[Cell]] = [
        (engines, kind, checkpoints, name, *_measures(measures, best), load.until)
        for name, measures in found.items()
    ]
    return rows, [] if alike else _bars(engines, checkpoints, found, best)


def _measures(found: Measures, best: float) -> Sequence[Cell]:
    return (
        found.utilisation,
        found.utilisation / best,
        found.warm_share,
        found.wait_p50,
        found.wait_p99,
        found.light_p99,
        found.switches,
        found.makespan,
    )


def _bars(engines: int, checkpoints: int, found: dict[str, Measures], best: float) -> list[Bar]:
    share = found["sluice"].utilisation / best
    what = f"utilisation of the best possible, {engines} engines, {checkpoints} in the mix"
    bars = [Bar(what, share, LEAST_UTILISATION, is_floor=True)]
    if (engines, checkpoints) == (64, 8):
        ratio = found["sluice"].makespan / found["round-robin"].makespan
        what = "makespan beside round-robin's, 64 engines, 8 in the mix"
        bars.append(Bar(what, ratio, MOST_MAKESPAN))
    return bars


def decision_cost(engines: int, waiting: int, checkpoints: int, decisions: int) -> list[float]:
    """Seconds for each of some decisions with so much waiting, sorted."""
    chance = random.Random(1)
    router = Router()
    names = [f"e{n}" for n in range(engines)]
    stock = [frozenset(n for n in names if chance.random() < 0.7) for _ in range(checkpoints)]
    for n, name in enumerate(names):
        router.set_engine(name, slots=1, loaded=f"m{n % checkpoints}")
    for number in range(engines + waiting):
        m = chance.randrange(checkpoints)
        caller = f"c{chance.randrange(waiting // 5)}"
        router.add(Waiting(number, caller, f"m{m}", (stock[m],), 5.0, 0.0))
    running = list(iter(lambda: router.decide(0.0), None))
    costs = []
    for n in range(decisions):
        done = running[n]
        started = time.process_time()
        now = 1.0 + n / engines
        router.finished(done.engine, done.job.id, now, loaded=done.job.checkpoint, learn=True)
        running += iter(lambda now=now: router.decide(now), None)  # type: ignore[misc]
        costs.append(time.process_time() - started)
        m = chance.randrange(checkpoints)
        caller = f"c{chance.randrange(waiting // 5)}"
        router.add(Waiting(engines + waiting + n, caller, f"m{m}", (stock[m],), 5.0, now))
        router.decide(now)
    return sorted(costs)
