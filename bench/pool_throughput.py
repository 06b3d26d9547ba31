"""How much of several upstreams' time the pool uses, over real HTTP.

    python -m bench.pool_throughput

Fake WebUIs, each a process of its own, take 100 ms for a picture; the pool is kept full. The
bar is 0.95 of what they could make if nothing stood in front of them. The exit status is 1
when it is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack

from ai.engines.a1111 import A1111Engine
from ai.generation import Txt2Img
from ai.pool import EnginePool, PoolPolicy, Ticket
from tests.running import running_fake_webui

LATENCY_S = 0.1
SIZES = (1, 4, 16)
LEAST = 0.95
WARM_UP = 3
CALLERS = 8


def throughput(engines: int, jobs_per_engine: int, size: int) -> float:
    """Pictures a second from so many upstreams, a queue always waiting."""
    with ExitStack() as stack:
        fakes = [
            stack.enter_context(running_fake_webui("--latency-s", str(LATENCY_S)))
            for _ in range(engines)
        ]
        pool = EnginePool(
            [
                A1111Engine(fake.url, name=f"webui-{n}", tier="gpu", device="cuda")
                for n, fake in enumerate(fakes)
            ],
            PoolPolicy(max_queue=100_000, max_queue_per_caller=100_000),
        )
        stack.callback(pool.close)
        pool.start()
        _run(pool, engines * WARM_UP, size)
        started = time.monotonic()
        _run(pool, engines * jobs_per_engine, size)
        return engines * jobs_per_engine / (time.monotonic() - started)


def _run(pool: EnginePool, jobs: int, size: int) -> None:
    tickets: list[Ticket] = [
        pool.submit(
            Txt2Img(prompt=f"picture {n}", steps=1, width=size, height=size),
            caller=f"caller {n % CALLERS}",
        )
        for n in range(jobs)
    ]
    for ticket in tickets:
        ticket.wait()
        ticket.result()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.pool_throughput", description=__doc__)
    parser.add_argument("--jobs", type=int, default=50, help="for each upstream")
    parser.add_argument("--size", type=int, default=64, help="pixels of a side")
    options = parser.parse_args()
    missed = 0
    print(f"{'upstreams':>9} {'pictures/s':>10} {'possible':>8} {'share':>6}  bar {LEAST}")
    for engines in SIZES:
        reached = throughput(engines, options.jobs, options.size)
        possible = engines / LATENCY_S
        missed += reached < LEAST * possible
        print(f"{engines:>9} {reached:>10.2f} {possible:>8.0f} {reached / possible:>6.3f}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
