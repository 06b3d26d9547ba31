"""What more workers bring: pictures a second with 1, 2 and 4, each with a WebUI of its own.

The real thing: gunicorn, Celery workers, PostgreSQL, Redis, and fake WebUIs that take 100 ms
for a picture, each a process of its own. Callers wait for their pictures, four for each
worker. "ideal" is what 100 ms allow; on few cores the machine itself sets a bound.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import requests

from bench.plan import Plan
from bench.report import Part, Table
from tests.postgres import running_postgres
from tests.running import (
    API,
    Sluice,
    running_fake_webui,
    running_redis,
    running_sluice,
    wait_until,
)
from tests.workers import celery_worker

LATENCY_S = 0.1
WORKERS = (1, 2, 4)
CALLERS_PER_WORKER = 4
WARM_UP = 3
JOBS = 60
"""For each worker."""
SIZE = 64
COLUMNS = ("workers", "pictures/s", "of the possible", "ms for a picture, p50")
SETTINGS = {
    "RATELIMIT_ENABLED": "false",
    "MAX_QUEUE": "1000",
    "MAX_QUEUE_PER_CALLER": "1000",
}


@dataclass(frozen=True)
class Round:
    """What so many workers made: pictures a second, and how long one took."""

    workers: int
    rate: float
    median_s: float

    @property
    def share(self) -> float:
        """Of what the WebUIs' own time allows."""
        return self.rate * LATENCY_S / self.workers


def run(plan: Plan) -> Part:
    room = plan.room("workers")
    found = [_alone(room / str(workers), workers, plan.quick) for workers in WORKERS]
    rows = [(one.workers, one.rate, one.share, one.median_s * 1000) for one in found]
    title = f"Celery workers, each with a WebUI of {LATENCY_S * 1000:.0f} ms a picture"
    figures = {"workers": list(WORKERS), "per_s": [one.rate for one in found]}
    return Part("workers", [Table(title, COLUMNS, rows)], figures=figures)


def _alone(folder: Path, workers: int, is_quick: bool) -> Round:
    """With servers of its own, so that nothing of one round is left to the next."""
    folder.mkdir()
    with running_postgres() as postgres, running_redis(folder) as (redis_url, _):
        shared = {
            **SETTINGS,
            "DATABASE_URL": postgres.new_database(),
            "REDIS_URL": redis_url,
            "CELERY_BROKER_URL": redis_url.replace("/0", "/1"),
            "DATA_DIR": str(folder / "data"),
        }
        return measure(folder, shared, workers, JOBS // 5 if is_quick else JOBS)


def measure(folder: Path, shared: Mapping[str, str], workers: int, jobs: int) -> Round:
    """`jobs` pictures for each worker."""
    with ExitStack() as stack:
        started = []
        for n in range(workers):
            fake = stack.enter_context(running_fake_webui("--latency-s", str(LATENCY_S)))
            env = {**shared, "SD_WEBUI_URL": fake.url}
            started.append(stack.enter_context(celery_worker(folder, f"gpu{n}", env)))
        sluice = stack.enter_context(running_sluice(folder, shared))
        for worker in started:
            worker.await_ready()
        wait_until(lambda: _engines_up(sluice) == workers, "all engines are up")
        _make(sluice, workers, WARM_UP)
        began = time.perf_counter()
        times = _make(sluice, workers, jobs)
        rate = len(times) / (time.perf_counter() - began)
        for worker in started:
            worker.stop()
    return Round(workers, rate, median(times))


def _make(sluice: Sluice, workers: int, jobs: int) -> list[float]:
    """Seconds that each picture took its caller."""
    with ThreadPoolExecutor(CALLERS_PER_WORKER * workers) as threads:
        return list(threads.map(lambda _: _post(sluice.url), range(jobs * workers)))


def _post(url: str) -> float:
    body = {"prompt": "a red circle", "width": SIZE, "height": SIZE, "steps": 1}
    began = time.perf_counter()
    requests.post(f"{url}{API}/txt2img", json=body, timeout=60).raise_for_status()
    return time.perf_counter() - began


def _engines_up(sluice: Sluice) -> int:
    engines = sluice.get(f"{API}/health").json()["engines"]
    return sum(engine["state"] == "up" for engine in engines)
