"""What it costs to be watched: 1,000 watchers on 50 jobs, memory and CPU for each.

One job is at work, half a second a step, the others wait; when one ends, all positions move.
"""

from __future__ import annotations

import resource
import selectors
import socket
import time

from bench.plan import Plan
from bench.processes import usage
from bench.report import Part, Table
from tests.running import API, Sluice, running_fake_webui, running_sluice

WATCHERS = 1000
JOBS = 50
SECONDS = 15.0
BODY = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 20}
STEP_S = "0.5"
COLUMNS = ("watchers", "jobs", "kB each", "CPU ms a second each", "events a second")


def run(plan: Plan) -> Part:
    _allow_files(4 * WATCHERS)
    env = {
        "THREADS": str(2 * WATCHERS),
        "RATELIMIT_ENABLED": "false",
        "CPU_FALLBACK": "false",
        "MAX_QUEUE_PER_CALLER": str(JOBS),
    }
    with (
        running_fake_webui("--step-latency-s", STEP_S) as webui,
        running_sluice(plan.room("watchers"), {"SD_WEBUI_URL": webui.url, **env}) as sluice,
    ):
        memory_mb, cpu_s, told = _watched(sluice, 3.0 if plan.quick else SECONDS)
    row = (WATCHERS, JOBS, memory_mb * 1024 / WATCHERS, cpu_s * 1000 / WATCHERS, told)
    return Part("watchers", [Table("Watching jobs by server-sent events", COLUMNS, [row])])


def _watched(sluice: Sluice, seconds: float) -> tuple[float, float, float]:
    """MB more than before; CPU seconds and events in each second."""
    jobs = [_submit(sluice) for _ in range(JOBS)]
    alone = usage(sluice.process.pid)
    watchers = [_watch(sluice, jobs[n % JOBS]) for n in range(WATCHERS)]
    _listen(watchers, 5.0)
    before = usage(sluice.process.pid)
    told = _listen(watchers, seconds)
    after = usage(sluice.process.pid)
    for watcher in watchers:
        watcher.close()
    return (
        after.memory_mb - alone.memory_mb,
        (after.cpu_s - before.cpu_s) / seconds,
        told / seconds,
    )


def _submit(sluice: Sluice) -> str:
    answer = sluice.post("txt2img", json=BODY, headers={"Prefer": "respond-async"})
    answer.raise_for_status()
    return str(answer.json()["job_id"])


def _watch(sluice: Sluice, job_id: str) -> socket.socket:
    watcher = socket.create_connection(("127.0.0.1", sluice.port))
    path = f"{API}/jobs/{job_id}/events"
    watcher.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return watcher


def _listen(watchers: list[socket.socket], seconds: float) -> int:
    """How many events came in that time."""
    deadline, told = time.monotonic() + seconds, 0
    with selectors.DefaultSelector() as selector:
        for watcher in watchers:
            selector.register(watcher, selectors.EVENT_READ)
        while (left_s := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left_s):
                heard = key.fileobj.recv(65536)  # type: ignore[union-attr]
                told += heard.count(b"event: ")
                if not heard:
                    selector.unregister(key.fileobj)
    return told


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, count), hard), hard))
