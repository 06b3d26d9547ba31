"""How much of several upstreams' time the pool uses, over real HTTP.

    python -m bench.pool_throughput

Fake WebUIs, each a process of its own, take 100 ms for a picture; the pool is kept full. The
bar is 0.95 of what 100 ms allow. Beside it, as "direct", what the same engines make without
a pool, one thread each: on a busy machine that falls short too. The exit status is 1 when
the bar is missed.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from ai.engines.a1111 import A1111Engine
from ai.generation import Txt2Img
from ai.pool import EnginePool, PoolPolicy
from tests.running import running_fake_webui

LATENCY_S = 0.1
UPSTREAMS = (1, 4, 16)
LEAST = 0.95
WARM_UP = 3
CALLERS = 8


def measure(upstreams: int, jobs: int, size: int) -> tuple[float, float]:
    """Pictures a second through the pool, and directly; `jobs` for each upstream."""
    request = Txt2Img(prompt="a picture", steps=1, width=size, height=size)
    with ExitStack() as stack:
        engines = [_engine(stack, n) for n in range(upstreams)]
        directly = _rate(lambda each: _directly(engines, request, each), upstreams, jobs)
        pool = EnginePool(engines, PoolPolicy(max_queue=10**6, max_queue_per_caller=10**6))
        stack.callback(pool.close)
        pool.start()
        through = _rate(lambda each: _through(pool, request, upstreams * each), upstreams, jobs)
    return through, directly


def _engine(stack: ExitStack, number: int) -> A1111Engine:
    fake = stack.enter_context(running_fake_webui("--realistic", "--latency-s", str(LATENCY_S)))
    return A1111Engine(fake.url, name=f"webui-{number}", tier="gpu", device="cuda")


def _rate(run: Callable[[int], None], upstreams: int, jobs: int) -> float:
    run(WARM_UP)
    started = time.monotonic()
    run(jobs)
    return upstreams * jobs / (time.monotonic() - started)


def _through(pool: EnginePool, request: Txt2Img, jobs: int) -> None:
    tickets = [pool.submit(request, caller=f"caller {n % CALLERS}") for n in range(jobs)]
    for ticket in tickets:
        ticket.wait()
        ticket.result()


def _directly(engines: Sequence[A1111Engine], request: Txt2Img, jobs: int) -> None:
    def work(engine: A1111Engine) -> None:
        for _ in range(jobs):
            engine.generate(request, timeout_s=60.0)

    threads = [threading.Thread(target=work, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.pool_throughput", description=__doc__)
    parser.add_argument("--jobs", type=int, default=150, help="for each upstream")
    parser.add_argument("--size", type=int, default=64, help="pixels of a side")
    options = parser.parse_args()
    held = True
    print(f"{'upstreams':>9} {'pictures/s':>10} {'share':>6} {'direct':>7}   bar: share {LEAST}")
    for upstreams in UPSTREAMS:
        possible = upstreams / LATENCY_S
        through, directly = (rate / possible for rate in measure(upstreams, **vars(options)))
        held &= through >= LEAST
        print(f"{upstreams:>9} {through * possible:>10.2f} {through:>6.3f} {directly:>7.3f}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
