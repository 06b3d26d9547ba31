"""Sluice scaled out: web processes and Celery workers over one PostgreSQL and one Redis."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.running import ROOT, wait_until

READY = "worker ready"


class CeleryWorker:
    """`celery -A backend.worker worker`, which a test may kill, stop and start again."""

    process: subprocess.Popen[bytes]

    def __init__(self, name: str, environ: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.environ = environ
        self._log = log

    def start(self) -> None:
        """Begin; returns before it is ready."""
        self._seen = self.log().count(READY)
        command = [sys.executable, "-m", "celery", "-A", "backend.worker", "worker"]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, *quiet, "-n", f"{self.name}@test"],
                cwd=ROOT,
                env=dict(self.environ),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def await_ready(self) -> None:
        def ready() -> bool:
            if self.process.poll() is not None:
                pytest.fail(f"the worker ended: {self.log()}")
            return self.log().count(READY) > self._seen

        wait_until(ready, "the worker is ready", 60)

    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def metrics(self, accept: str = "") -> requests.Response:
        """What it shows those who scrape it."""
        url = f"http://127.0.0.1:{self.environ['METRICS_PORT']}/metrics"
        with requests.Session() as http:
            http.trust_env = False
            return http.get(url, headers={"Accept": accept}, timeout=10)

    def kill(self) -> None:
        """kill -9, all its processes."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=10)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@contextmanager
def celery_worker(folder: Path, name: str, env: Mapping[str, str]) -> Iterator[CeleryWorker]:
    """A worker that has been started; killed at the end if it still runs."""
    environ = {
        **{k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")},
        "SD_WEBUI_URL": "none",
        "CPU_FALLBACK": "false",
        "LOG_FORMAT": "json",
        "GRACE_S": "5",
        "METRICS_PORT": "0",
        "WORKER_NAME": name,
        **env,
    }
    worker = CeleryWorker(name, environ, folder / f"{name}.log")
    worker.start()
    try:
        yield worker
    finally:
        if worker.process.poll() is None:
            worker.kill()
