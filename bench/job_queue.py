"""A long queue: how fast jobs are taken in, what they weigh, how soon a restart has them back.

    python -m bench.job_queue [--jobs 5000] [--callers 8]

The WebUI hangs on the first, so that all others wait. The server is then killed and started.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from bench.processes import usage
from tests.running import API, Sluice, running_fake_webui, running_sluice

BODY = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 20}


def main() -> None:
    options = _options()
    env = {
        "RATELIMIT_ENABLED": "false",
        "CPU_FALLBACK": "false",
        "MAX_QUEUE": str(2 * options.jobs),
        "MAX_QUEUE_PER_CALLER": str(2 * options.jobs),
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        running_fake_webui("--latency-s", "3600") as webui,
        running_sluice(Path(folder), {"SD_WEBUI_URL": webui.url, **env}) as sluice,
    ):
        empty_start_s = _restarted(sluice)
        empty = usage(sluice.process.pid)
        submit_s = _submit_all(sluice, options.jobs, options.callers)
        full = usage(sluice.process.pid)
        full_start_s = _restarted(sluice)
        queued_s = _until_queued(sluice, options.jobs - 1)
        again = usage(sluice.process.pid)
        sluice.kill()
    for_each_kb = (full.memory_mb - empty.memory_mb) * 1024 / options.jobs
    print(
        f"{options.jobs} jobs: {options.jobs / submit_s:.0f} taken in a second, "
        f"{full.memory_mb - empty.memory_mb:.0f} MB ({for_each_kb:.1f} kB each); "
        f"start {full_start_s:.1f} s (empty {empty_start_s:.1f} s), all queued again "
        f"{queued_s:.1f} s later, then {again.memory_mb - empty.memory_mb:.0f} MB"
    )


def _submit_all(sluice: Sluice, jobs: int, callers: int) -> float:
    """Seconds for all of them, from several callers at once."""

    def submit(count: int) -> None:
        with requests.Session() as session:
            session.trust_env = False
            for _ in range(count):
                session.post(
                    f"{sluice.url}{API}/txt2img",
                    json=BODY,
                    headers={"Prefer": "respond-async"},
                    timeout=60,
                ).raise_for_status()

    began = time.perf_counter()
    with ThreadPoolExecutor(callers) as threads:
        list(threads.map(submit, [jobs // callers] * callers))
    return time.perf_counter() - began


def _restarted(sluice: Sluice) -> float:
    """Kill it; seconds until it listens again."""
    sluice.kill()
    began = time.perf_counter()
    sluice.start()
    return time.perf_counter() - began


def _until_queued(sluice: Sluice, count: int) -> float:
    began = time.perf_counter()
    while sluice.get(f"{API}/health").json()["queue"]["waiting"] < count:
        time.sleep(0.05)
    return time.perf_counter() - began


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--callers", type=int, default=8)
    return parser.parse_args()


if __name__ == "__main__":
    main()
