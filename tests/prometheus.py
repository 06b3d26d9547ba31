"""A real Prometheus, with the shipped rules, that scrapes what a test runs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.running import ROOT, free_port, installed, wait_until

SHIPPED = ROOT / "deploy" / "prometheus"


class Prometheus:
    """Asks a running one."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = requests.Session()
        self._http.trust_env = False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query, those that are no number left out."""
        answer = self._http.get(
            f"{self._url}/api/v1/query", params={"query": expression}, timeout=10
        )
        assert answer.status_code == 200, f"{expression}: {answer.text}"
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return [sample for sample in found if sample["value"][1] != "NaN"]

    def is_ready(self) -> bool:
        """Whether it answers queries: it listens some time before it does."""
        try:
            return self._http.get(f"{self._url}/-/ready", timeout=10).ok
        except requests.ConnectionError:
            return False

    def close(self) -> None:
        self._http.close()


@contextmanager
def running_prometheus(folder: Path, target: str) -> Iterator[Prometheus]:
    """The shipped configuration, but scraping `target` (host:port) each half second."""
    for rules in ("recording.yml", "alerts.yml"):
        shutil.copy(SHIPPED / rules, folder)
    config = (SHIPPED / "prometheus.yml").read_text()
    config = config.replace("gateway:5002", target).replace("15s", "500ms")
    (folder / "prometheus.yml").write_text(config)
    port = free_port()
    command = [
        installed("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    prometheus = Prometheus(f"http://127.0.0.1:{port}")
    try:
        wait_until(prometheus.is_ready, "Prometheus answers queries")
        yield prometheus
    finally:
        prometheus.close()
        process.terminate()
        process.wait(timeout=10)
