"""How routing does on simulated fleets, beside other ways to route.

    python -m bench.routing            all of it, about half a minute
    python -m bench.routing --quick    shorter runs

Poisson arrivals at 90 % of what the engines could make if they never loaded a checkpoint;
loading one takes as long as ten steps, a request 8 to 30. "mixed" engines differ in speed,
1 to 3; "alike" ones do not. Utilisation is the part of the engines' time, while requests
come, that goes into pictures; beside it what no order could exceed, though it knew all
requests beforehand. Waits are in seconds, "light" those of the callers who ask least. The
exit status is 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from dataclasses import dataclass

from ai.routing import Router, Waiting
from bench.routing_rivals import RIVALS
from bench.routing_simulation import (
    Measures,
    Workload,
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
HEADER = (
    f"{'engines':>14} {'mix':>3} {'routing':13} {'utilisation':>11} {'of best':>8} {'warm':>6}"
    f" {'wait p50':>8} {'p99':>7} {'light p99':>9} {'switches':>8} {'makespan':>8}"
)


@dataclass(frozen=True, slots=True)
class Bar:
    """Something promised, and whether it holds."""

    what: str
    value: float
    bound: float
    holds: bool

    def __str__(self) -> str:
        verdict = "held" if self.holds else "MISSED"
        return f"{verdict:6} {self.what}: {self.value:.4g}, bar {self.bound:g}"


def compare(engines: int, checkpoints: int, jobs_per_engine: int, *, alike: bool) -> list[Bar]:
    """One block of the table; the bars it is held to."""
    load = workload(engines, checkpoints, jobs_per_engine=jobs_per_engine, alike=alike)
    best = clairvoyant_utilisation(load)
    found = {name: simulate(load, rival(load)) for name, rival in RIVALS.items()}
    for name, measures in found.items():
        _print_row(load, checkpoints, "alike" if alike else "mixed", name, measures, best)
    theirs = found["round-robin"].makespan
    print(
        f"{'':>18} makespan beside round-robin's: {found['sluice'].makespan / theirs:.3f};"
        f" no order could come below {load.until / theirs:.3f}, when the last request came"
    )
    return _bars(engines, checkpoints, found, best) if not alike else []


def _print_row(
    load: Workload, checkpoints: int, kind: str, name: str, found: Measures, best: float
) -> None:
    print(
        f"{len(load.speeds):>8} {kind} {checkpoints:>3} {name:13} {found.utilisation:>11.3f}"
        f" {found.utilisation / best:>8.3f} {found.warm_share:>6.1%} {found.wait_p50:>8.2f}"
        f" {found.wait_p99:>7.2f} {found.light_p99:>9.2f} {found.switches:>8}"
        f" {found.makespan:>8.1f}"
    )


def _bars(engines: int, checkpoints: int, found: dict[str, Measures], best: float) -> list[Bar]:
    share = found["sluice"].utilisation / best
    what = f"utilisation of the best possible, {engines} engines, {checkpoints} in the mix"
    bars = [Bar(what, share, LEAST_UTILISATION, share >= LEAST_UTILISATION)]
    if (engines, checkpoints) == (64, 8):
        ratio = found["sluice"].makespan / found["round-robin"].makespan
        what = "makespan beside round-robin's, 64 engines, 8 in the mix"
        bars.append(Bar(what, ratio, MOST_MAKESPAN, ratio <= MOST_MAKESPAN))
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.routing", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    shorter = 4 if parser.parse_args().quick else 1
    print(HEADER)
    bars = []
    for engines, jobs_per_engine in FLEETS.items():
        for checkpoints in MIXES:
            for alike in (False, True):
                bars += compare(engines, checkpoints, jobs_per_engine // shorter, alike=alike)
    for checkpoints in (8, 50):
        costs = decision_cost(1000, 10_000, checkpoints, 2000 // shorter)
        what = f"seconds for a decision, 1000 engines, 10,000 waiting for {checkpoints} checkpoints"
        mean = statistics.mean(costs)
        print(f"{what}: mean {mean:.6f}, p99 {costs[len(costs) * 99 // 100]:.6f}")
        bars.append(Bar(what, mean, MOST_DECISION_S, mean < MOST_DECISION_S))
    print(*bars, sep="\n")
    return 0 if all(bar.holds for bar in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
