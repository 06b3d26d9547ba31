"""What a request costs in counts, which are the same on every machine."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import redis

from bench.contestants import sluice_with_redis
from bench.dialects import ours
from bench.processes import family
from bench.tracing import MMAP_ABOVE, traced
from bench.upstream import Upstream, upstream
from tests.running import ROOT, Sluice

REQUESTS = 40
WARM_UP = 10
SIDE = 512
PICTURE_BYTES = 500_000
"""A little less than the PNG has: what allocates that much, copies it."""


def count() -> dict[str, float]:
    """By name, for one txt2img of 512x512. Raises as `traced` does."""
    with tempfile.TemporaryDirectory() as folder, upstream(Path(folder)) as source:
        settings = {"SD_WEBUI_URL": source.url, "THREADS": "16", **MMAP_ABOVE}
        with sluice_with_redis(Path(folder) / "sluice", settings) as served:
            found = _counted(served, source, Path(folder))
        found |= _inside(source, Path(folder) / "in-process")
    return found


def _counted(served: Sluice, source: Upstream, folder: Path) -> dict[str, float]:
    _ask(served, WARM_UP)
    store = redis.Redis.from_url(served.environ["REDIS_URL"])
    reads, connections = _reads(store), source.connections()
    _ask(served, REQUESTS)
    found = {
        # One of the reads is the question itself.
        "redis_round_trips": (_reads(store) - reads - 1) / REQUESTS,
        "upstream_connections": (source.connections() - connections - 1) / REQUESTS,
    }
    worker = family(served.process.pid)[-1]
    with traced(worker, folder / "calls.txt") as trace:
        _ask(served, REQUESTS)
    return found | {
        "system_calls": trace.steady() / REQUESTS,
        "picture_copies": len(trace.allocations(PICTURE_BYTES)) / REQUESTS,
    }


def _ask(served: Sluice, times: int) -> None:
    request = ours(SIDE)
    for _ in range(times):
        served.http.post(
            served.url + request.path,
            data=request.body,
            headers=dict(request.headers),
            timeout=60,
        ).raise_for_status()


def _inside(source: Upstream, data_dir: Path) -> dict[str, float]:
    """In a process of its own: the watch slows it, and would see other threads here."""
    command = [sys.executable, "-m", "bench.inside", source.url, str(data_dir)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    threads, calls = done.stdout.split()
    return {"threads": float(threads), "python_calls": float(calls)}


def _reads(store: redis.Redis) -> int:
    """How often Redis has found something sent to it."""
    return int(store.info("stats")["total_reads_processed"])
