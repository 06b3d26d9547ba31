"""How much of several upstreams' time the pool uses, over real HTTP.

Fake WebUIs, each a process of its own, take 100 ms for a picture; the pool is kept full. Beside
it, as "direct", what the same engines make without a pool, one thread each: on a busy machine
that falls short too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from ai.engines.a1111.engine import A1111Engine
from ai.generation import Txt2Img
from ai.pool import EnginePool, PoolPolicy
from bench.plan import Plan
from bench.report import Bar, Part, Table
from tests.running import running_fake_webui

LATENCY_S = 0.1
UPSTREAMS = (1, 4, 16)
LEAST = 0.95
WARM_UP = 3
CALLERS = 8
JOBS = 50
"""For each upstream."""
SIDE = 64
COLUMNS = ("upstreams", "pictures/s", "of the possible", "direct, of the possible")


def run(plan: Plan) -> Part:
    rows, bars = [], []
    for upstreams in UPSTREAMS:
        possible = upstreams / LATENCY_S
        through, directly = measure(upstreams, JOBS // 5 if plan.quick else JOBS, SIDE)
        rows.append((upstreams, through, through / possible, directly / possible))
        what = f"of what {upstreams} upstreams could make"
        bars.append(Bar(what, through / possible, LEAST, is_floor=True))
    figures = {"upstreams": list(UPSTREAMS), "per_s": [row[1] for row in rows]}
    table = Table("The pool over upstreams of 100 ms a picture", COLUMNS, rows)
    return Part("pool", [table], bars, figures)


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
