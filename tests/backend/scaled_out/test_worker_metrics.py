"""What a worker makes is told by the worker itself, to those who scrape it."""

from __future__ import annotations

import time
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.backend.scaled_out.town import Town
from tests.running import wait_until
from tests.workers import celery_worker

AT_WORK = 2
CLOCKS_APART_S = 0.05


def test_a_worker_shows_what_it_made_and_for_whom(town: Town) -> None:
    left, _ = town.callers()
    left.headers = left.headers | {"X-Request-ID": "scaled-out"}
    engine = left.post(seed=500).json()["engine"]
    [maker] = [worker for worker in town.workers if engine.startswith(worker.name)]
    shown = maker.metrics("application/openmetrics-text; version=1.0.0")
    assert shown.headers["Content-Type"].startswith("application/openmetrics-text")
    families = {family.name: family for family in text_string_to_metric_families(shown.text)}  # type: ignore[no-untyped-call]
    for name in ("sluice_images", "sluice_megapixel_steps", "sluice_engine_seconds"):
        assert {sample.labels["engine"] for sample in families[name].samples} == {engine}, name
    exemplars = [s.exemplar for s in families["sluice_engine_seconds"].samples if s.exemplar]
    assert "scaled-out" in [exemplar.labels["request_id"] for exemplar in exemplars]


def test_a_worker_whose_metrics_port_is_taken_says_so_and_ends(town: Town, tmp_path: Path) -> None:
    environ = dict(town.workers[0].environ)
    with celery_worker(tmp_path, "twin", environ) as twin:
        assert twin.process.wait(timeout=60) == 1
        log = twin.log()
    assert f"METRICS_PORT: cannot listen on 127.0.0.1:{environ['METRICS_PORT']}" in log
    assert "Traceback" not in log


def test_that_no_worker_is_left_is_a_figure_and_not_the_lack_of_one(town: Town) -> None:
    left, _ = town.callers()
    for worker in town.workers:
        worker.stop()
    town.await_engines(0)
    shown = left.sluice.get("/metrics").text
    assert 'sluice_engines_up{tier="gpu",view="shared"} 0.0' in shown
    assert 'sluice_can_generate{view="shared"} 0.0' in shown
    assert "sluice_engine_state{" not in shown
    for worker in town.workers:
        worker.start()
        worker.await_ready()
    town.await_engines(2)
    shown = left.sluice.get("/metrics").text
    assert 'sluice_engines_up{tier="gpu",view="shared"} 2.0' in shown
    assert 'sluice_can_generate{view="shared"} 1.0' in shown


def test_the_wait_for_a_worker_is_measured_however_it_ends(town: Town) -> None:
    left, right = town.callers()
    shown = [worker.metrics().text for worker in town.workers]
    made_before, canceled_before = waits(*shown), waits(left.sluice.get("/metrics").text)
    with town.held():
        jobs = [left.submit(seed=510 + n) for n in range(7)]
        all_there = time.monotonic()

        def oldest_s() -> float:
            return figure(right.sluice.get("/metrics").text, "sluice_queue_oldest_seconds")

        wait_until(lambda: oldest_s() > 1, "the oldest has waited")
        waited_s = time.monotonic() - all_there - CLOCKS_APART_S
        assert left.cancel(jobs.pop()).status_code == 200
    for job_id in jobs:
        right.await_status(job_id, "succeeded")
    made = waits(*(worker.metrics().text for worker in town.workers))
    assert made[0] - made_before[0] == len(jobs)
    assert made[1] - made_before[1] > (len(jobs) - AT_WORK) * waited_s
    canceled = waits(left.sluice.get("/metrics").text)
    assert canceled[0] - canceled_before[0] == 1
    assert canceled[1] - canceled_before[1] > waited_s


def waits(*shown: str) -> tuple[float, float]:
    """How many, and their sum in seconds, on all these pages."""
    name = "sluice_queue_seconds"
    return (
        sum(figure(text, f"{name}_count") for text in shown),
        sum(figure(text, f"{name}_sum") for text in shown),
    )


def figure(shown: str, name: str) -> float:
    """The one sample of that name, whatever its labels."""
    [line] = [line for line in shown.splitlines() if line.split("{")[0].split(" ")[0] == name]
    return float(line.split()[-1])
