"""The figures of several processes on one page."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ai.correlation import Correlation
from backend.metrics import Metrics
from tests.running import ROOT

PROGRAM = """
import os
from backend.metrics import Metrics

def count(requests, degraded):
    metrics = Metrics(is_shared=True)
    for _ in range(requests):
        metrics.request_served("/x", "POST", 200, 0.1, {"gateway": 0.1, "engine": 0.2})
    metrics.limits_degraded(degraded)

for requests, degraded in ((3, True), (4, False)):
    if (child := os.fork()) == 0:
        count(requests, degraded)
        os._exit(0)
    os.waitpid(child, 0)
print(Metrics(is_shared=True).exposition()[0].decode())
"""


def test_processes_that_share_a_folder_are_added_up(tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    shown = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert 'sluice_requests_total{method="POST",route="/x",status="200"} 7.0' in shown
    assert 'sluice_request_seconds_count{route="/x"} 7.0' in shown
    assert "sluice_gateway_seconds_count 7.0" in shown
    assert "sluice_limiter_degraded 1.0" in shown


def test_a_method_nobody_knows_makes_no_new_series() -> None:
    metrics = Metrics()
    for method in ("BREW", "WHEN"):
        metrics.request_served("none", method, 405, 0.1, {"gateway": 0.1})
    text, media_type = metrics.exposition()
    assert b'sluice_requests_total{method="other",route="none",status="405"} 2.0' in text
    assert media_type.startswith("text/plain")


def test_an_exemplar_too_long_for_openmetrics_is_left_out() -> None:
    assert Correlation("r" * 128).exemplar is None
    assert Correlation("r" * 100).exemplar == {"request_id": "r" * 100}
    assert Correlation().exemplar is None
