"""The shipped rules and dashboard, over a real Prometheus that scrapes a gateway at work."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backend.receivers import receiving
from tests.fake_webui import FakeWebUI, Fault
from tests.prometheus import SHIPPED, Prometheus, running_prometheus
from tests.running import ROOT, Sluice, installed, running_redis, running_sluice, wait_until

DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboards/sluice.json").read_text())
DATASOURCE = (ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text()
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
SMALL = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 1}
GENERATIONS_A_MINUTE = 12


def records() -> list[str]:
    lines = (SHIPPED / "recording.yml").read_text().splitlines()
    return [line.split("record: ")[1] for line in lines if "record: " in line]


def work(sluice: Sluice, webui: FakeWebUI, hook: str) -> None:
    """A bit of everything there is a figure for; with the first, one more than a minute may."""
    webui.inject(Fault.CRASH)
    bodies: list[dict[str, object]] = [
        {"model": "tinyA"},
        {"model": "tinyB"},
        {"seed": 7},
        {"seed": 7},
        {"webhook_url": hook},
    ]
    for body in bodies + [{}] * (GENERATIONS_A_MINUTE - 1 - len(bodies)):
        assert sluice.post("txt2img", json=SMALL | body).status_code == 200
    assert sluice.post("txt2img", json=SMALL).status_code == 429


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    with (
        FakeWebUI() as webui,
        FakeWebUI() as cpu_webui,
        receiving() as hook,
        running_redis(folder) as (redis, _),
    ):
        env = {
            "SD_WEBUI_URL": webui.url,
            "SD_WEBUI_CPU_URL": cpu_webui.url,
            "REDIS_URL": redis,
            "RATELIMIT_GENERATION": f"{GENERATIONS_A_MINUTE}/minute",
            "WEBHOOK_SECRET": "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "ALLOW_HTTP_WEBHOOKS": "true",
            "ALLOW_PRIVATE_WEBHOOKS": "true",
        }
        with (
            running_sluice(folder, env) as sluice,
            running_prometheus(folder, f"127.0.0.1:{sluice.port}") as prometheus,
        ):
            sluice.post("txt2img", json=SMALL)
            wait_until(lambda: bool(prometheus.query("sluice_images_total")), "a first scrape")
            work(sluice, webui, hook.url)
            wait_until(
                lambda: bool(prometheus.query('sluice:rejections:rate5m{limit="generation"}')),
                "two scrapes and an evaluation",
            )
            yield prometheus


@pytest.mark.parametrize("kind", ["the dashboard's queries", "the recording rules"])
def test_all_of_them_find_something(prometheus: Prometheus, kind: str) -> None:
    queries = [query.replace("$__rate_interval", "1m") for query in QUERIES]
    asked = queries if kind == "the dashboard's queries" else records()
    assert asked

    def lacking() -> list[str]:
        return [expression for expression in asked if not prometheus.query(expression)]

    try:
        wait_until(lambda: not lacking(), "all have data")
    finally:
        assert lacking() == []


def test_what_is_scraped_is_what_was_done(prometheus: Prometheus) -> None:
    def value(expression: str) -> float:
        (sample,) = prometheus.query(expression)
        return float(sample["value"][1])

    assert value('sum(sluice_requests_total{method="POST",status="200"})') == GENERATIONS_A_MINUTE
    assert value('sluice_rejections_total{limit="generation"}') == 1
    assert value("sum(sluice_images_total)") == GENERATIONS_A_MINUTE - 1
    assert value('sluice_result_cache_total{result="hit"}') == 1
    assert value("sum(sluice_retries_total)") == value("sum(sluice_fallbacks_total)") == 1
    assert value('sluice_engine_failures_total{engine="webui"}') == 1
    assert prometheus.query('ALERTS{alertstate="firing"}') == []


def test_the_dashboard_and_its_datasource_know_each_other() -> None:
    assert "uid: sluice-prometheus" in DATASOURCE
    sources = {
        target["datasource"]["uid"]
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", ())
    }
    assert sources == {"sluice-prometheus"}


def test_every_alert_tells_what_to_do() -> None:
    alerts = (SHIPPED / "alerts.yml").read_text()
    assert alerts.count("- alert: ") == alerts.count("runbook: ") == alerts.count("summary: ")


@pytest.mark.parametrize(
    ("command", "file"),
    [
        (("check", "config"), SHIPPED / "prometheus.yml"),
        (("test", "rules"), Path(__file__).parent / "rules_test.yml"),
    ],
)
def test_promtool_finds_nothing_wrong(command: tuple[str, ...], file: Path) -> None:
    done = subprocess.run(
        [installed("promtool"), *command, str(file)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
