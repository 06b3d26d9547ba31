"""What a worker makes is told by the worker itself, to those who scrape it."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.backend.scaled_out.town import Town
from tests.workers import celery_worker


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
