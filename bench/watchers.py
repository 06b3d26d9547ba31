"""What it costs to be watched: 1,000 watchers on 50 jobs, memory and CPU for each.

    python -m bench.watchers [--watchers 1000] [--jobs 50] [--seconds 30]

One job is at work, half a second a step, the others wait; when one ends, all positions move.
"""

from __future__ import annotations

import argparse
import resource
import selectors
import socket
import tempfile
import time
from pathlib import Path

from bench.processes import usage
from tests.running import API, Sluice, running_fake_webui, running_sluice

BODY = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 20}
STEP_S = "0.5"


def main() -> None:
    options = _options()
    _allow_files(4 * options.watchers)
    env = {
        "THREADS": str(2 * options.watchers),
        "RATELIMIT_ENABLED": "false",
        "CPU_FALLBACK": "false",
        "MAX_QUEUE_PER_CALLER": str(options.jobs),
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        running_fake_webui("--step-latency-s", STEP_S) as webui,
        running_sluice(Path(folder), {"SD_WEBUI_URL": webui.url, **env}) as sluice,
    ):
        jobs = [_submit(sluice) for _ in range(options.jobs)]
        alone = usage(sluice.process.pid)
        watchers = [_watch(sluice, jobs[n % len(jobs)]) for n in range(options.watchers)]
        _listen(watchers, 5.0)
        before = usage(sluice.process.pid)
        told = _listen(watchers, options.seconds)
        after = usage(sluice.process.pid)
        for watcher in watchers:
            watcher.close()
    cpu_s = (after.cpu_s - before.cpu_s) / options.seconds
    memory_mb = after.memory_mb - alone.memory_mb
    print(
        f"{options.watchers} watchers on {options.jobs} jobs: {memory_mb:.0f} MB more "
        f"({memory_mb * 1024 / options.watchers:.0f} kB each), "
        f"{cpu_s:.2f} s of CPU a second ({cpu_s * 1000 / options.watchers:.2f} ms each), "
        f"{told / options.seconds:.0f} events a second"
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


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30.0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
