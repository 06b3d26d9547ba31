"""A long queue: how fast jobs are taken in, what they weigh, how soon a restart has them back.

The WebUI hangs on the first, so that all others wait. The server is then killed and started.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import requests

from bench.plan import Plan
from bench.processes import usage
from bench.report import Part, Table
from tests.running import API, Sluice, running_fake_webui, running_sluice

JOBS = 4000
CALLERS = 8
BODY = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 20}
COLUMNS = ("jobs", "taken in a second", "kB each", "start s", "start s, empty", "queued again s")


def run(plan: Plan) -> Part:
    jobs = JOBS // 10 if plan.quick else JOBS
    env = {
        "RATELIMIT_ENABLED": "false",
        "CPU_FALLBACK": "false",
        "MAX_QUEUE": str(2 * jobs),
        "MAX_QUEUE_PER_CALLER": str(2 * jobs),
    }
    with (
        running_fake_webui("--latency-s", "3600") as webui,
        running_sluice(plan.room("job-queue"), {"SD_WEBUI_URL": webui.url, **env}) as sluice,
    ):
        empty_start_s = _restarted(sluice)
        empty = usage(sluice.process.pid)
        submit_s = _submit_all(sluice, jobs, CALLERS)
        full = usage(sluice.process.pid)
        full_start_s = _restarted(sluice)
        queued_s = _until_queued(sluice, jobs - 1)
        sluice.kill()
    each_kb = (full.memory_mb - empty.memory_mb) * 1024 / jobs
    row = (jobs, jobs / submit_s, each_kb, full_start_s, empty_start_s, queued_s)
    return Part("job-queue", [Table("A long queue, and a restart", COLUMNS, [row])])


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
