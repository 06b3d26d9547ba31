"""A gateway at work, seen by those who watch it: its log, its metrics, its traces."""

from __future__ import annotations

import gzip
import json
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.backend.receivers import Receiver, receiving
from tests.fake_webui import FakeWebUI, Fault
from tests.pictures import data_uri, png
from tests.running import API, Sluice, running_sluice, wait_until

SECRETS = ("zebra-7316", "sk-planted-2209", "hunter2-planted")
PROMPT, KEY, PASSWORD = SECRETS
SMALL = {"prompt": f"a {PROMPT}", "width": 64, "height": 64, "steps": 2}
AUTH = {"Authorization": f"Bearer {KEY}", "X-API-Key": KEY}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLERS_SPAN = "00f067aa0ba902b7"


def records(sluice: Sluice) -> list[dict[str, Any]]:
    return [json.loads(line) for line in sluice.log().splitlines() if line.startswith("{")]


@dataclass
class Scene:
    sluice: Sluice
    webui: FakeWebUI
    collector: Receiver

    def lines(self) -> list[dict[str, Any]]:
        """The log, by record."""
        return records(self.sluice)

    def line_of(self, request_id: str) -> dict[str, Any]:
        (line,) = (
            line
            for line in self.lines()
            if line["event"] == "request" and line["request_id"] == request_id
        )
        return line

    def spans(self, trace: str) -> dict[str, Span]:
        """What the collector was sent of a trace, by name."""
        found: dict[str, Span] = {}
        for received in self.collector.received:
            packed = received.headers.get("Content-Encoding") == "gzip"
            body = gzip.decompress(received.body) if packed else received.body
            message = ExportTraceServiceRequest.FromString(body)
            for source in message.resource_spans:
                for scope in source.scope_spans:
                    found |= {s.name: s for s in scope.spans if s.trace_id.hex() == trace}
        return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with FakeWebUI(auth=f"me:{PASSWORD}") as webui, receiving() as collector:
        env = {
            "SD_WEBUI_URL": webui.url.replace("://", f"://me:{PASSWORD}@"),
            "CPU_FALLBACK": "false",
            "LOG_LEVEL": "debug",
            "RATELIMIT_GENERATION": "40/minute",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        with running_sluice(tmp_path_factory.mktemp("watched"), env) as sluice:
            yield Scene(sluice, webui, collector)


def ended_job(sluice: Sluice, accepted: dict[str, Any]) -> dict[str, Any]:
    def job() -> dict[str, Any]:
        found: dict[str, Any] = sluice.get(accepted["urls"]["self"]).json()
        return found

    wait_until(lambda: job()["status"] in ("succeeded", "failed"), "the job ends")
    return job()


def test_a_request_is_one_line_that_says_what_became_of_it(scene: Scene) -> None:
    scene.sluice.post("txt2img", json=SMALL, headers={"X-Request-ID": "one-line"})
    line = scene.line_of("one-line")
    assert (line["route"], line["status"], line["caller"]) == (f"{API}/txt2img", 200, "127.0.0.1")
    assert (line["engine"], line["attempts"]) == ("webui", 1)
    assert line["job_id"]
    parts = (line["queue_ms"], line["engine_ms"], line["gateway_ms"])
    assert sum(parts) == pytest.approx(line["duration_ms"], abs=0.3)


def test_the_request_id_goes_upstream_and_comes_back_in_errors(scene: Scene) -> None:
    scene.webui.inject(Fault.CRASH)
    failed = scene.sluice.post("txt2img", json=SMALL, headers={"X-Request-ID": "went-wrong"})
    assert failed.status_code == 502
    assert failed.json()["request_id"] == failed.headers["X-Request-ID"] == "went-wrong"
    line = scene.line_of("went-wrong")
    assert (line["engine"], line["attempts"]) == ("webui", 1)
    assert line["job_id"]
    sent = [seen.headers.get("X-Request-ID") for seen in scene.webui.seen if "2img" in seen.path]
    assert sent[-1] == "went-wrong"


def test_a_jobs_failure_tells_by_which_request_it_came(scene: Scene) -> None:
    scene.webui.inject(Fault.CRASH)
    headers = {"X-Request-ID": "job-failed", "Prefer": "respond-async"}
    job = ended_job(scene.sluice, scene.sluice.post("txt2img", json=SMALL, headers=headers).json())
    assert job["error"]["request_id"] == "job-failed"
    assert scene.line_of("job-failed")["job_id"] == job["job_id"]
    ends = [line for line in scene.lines() if line["event"] == "job ended"]
    (end,) = (line for line in ends if line["request_id"] == "job-failed")
    assert (end["status"], end["engine"], end["error"]) == ("failed", "webui", "engine_failed")


def test_a_strange_request_id_is_replaced(scene: Scene) -> None:
    answer = scene.sluice.get(f"{API}/models", headers={"X-Request-ID": "a b;c"})
    assert scene.line_of(answer.headers["X-Request-ID"])["status"] == 200


def test_no_prompt_key_password_or_picture_is_ever_logged(scene: Scene) -> None:
    picture = data_uri(png())
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("img2img", {"prompt": PROMPT, "image": picture, "steps": 1, "width": 64, "height": 64}),
        ("txt2img", {"prompt": PROMPT, PROMPT: 1}),
        ("txt2img", {**SMALL, "sampler_name": PROMPT}),
        ("txt2img", {**SMALL, "model": PROMPT}),
        ("txt2img", {**SMALL, "negative_prompt": PROMPT, "seed": 5}),
        ("txt2img", {**SMALL, "seed": 5}),
        ("img2img", {"prompt": PROMPT, "image": PROMPT}),
    ]
    for fault in (Fault.NOT_JSON, Fault.TRUNCATED_PNG, Fault.UNAUTHORIZED, Fault.OOM):
        scene.webui.inject(fault)
        scene.sluice.post("txt2img", json=SMALL, headers=AUTH)
        scene.sluice.post("txt2img", json=SMALL, headers=AUTH)
    for route, body in bodies:
        scene.sluice.post(route, json=body, headers=AUTH)
    scene.sluice.post("txt2img", data=f'{{"prompt": "{PROMPT}', headers=AUTH)
    scene.sluice.get(f"/{PROMPT}?key={KEY}", headers=AUTH)
    scene.sluice.get(f"{API}/jobs/{PROMPT}?{KEY}", headers=AUTH)
    accepted = scene.sluice.post("txt2img", json=SMALL, headers={**AUTH, "Prefer": "respond-async"})
    ended_job(scene.sluice, accepted.json())
    log = scene.sluice.log()
    assert len(scene.lines()) > len(bodies)
    assert not [planted for planted in (*SECRETS, picture[30:80]) if planted in log]


def test_the_prompt_is_logged_where_that_is_asked_for(tmp_path: Path) -> None:
    with FakeWebUI() as webui:
        env = {"LOG_PROMPTS": "true", "SD_WEBUI_URL": webui.url, "CPU_FALLBACK": "false"}
        with running_sluice(tmp_path, env) as sluice:
            sluice.post("txt2img", json=SMALL)
            assert f'"prompt":"a {PROMPT}"' in sluice.log()


def test_a_generation_is_a_trace_from_its_caller_to_the_upstream(scene: Scene) -> None:
    headers = {"traceparent": f"00-{TRACE}-{CALLERS_SPAN}-01", "X-Request-ID": "traced"}
    scene.sluice.post("txt2img", json=SMALL, headers=headers)
    names = {f"POST {API}/txt2img", "queue", "engine", "store"}
    wait_until(lambda: set(scene.spans(TRACE)) == names, "all spans of the trace came")
    spans = scene.spans(TRACE)
    request = spans.pop(f"POST {API}/txt2img")
    assert request.parent_span_id.hex() == CALLERS_SPAN
    assert {span.parent_span_id for span in spans.values()} == {request.span_id}
    assert spans["queue"].end_time_unix_nano == spans["engine"].start_time_unix_nano
    upstream = [seen.headers for seen in scene.webui.seen if "2img" in seen.path][-1]
    assert upstream["traceparent"] == f"00-{TRACE}-{request.span_id.hex()}-01"
    assert scene.line_of("traced")["trace_id"] == TRACE


def test_exemplars_lead_from_a_metric_to_a_trace_and_a_log_line(scene: Scene) -> None:
    headers = {"traceparent": f"00-{TRACE}-{CALLERS_SPAN}-01", "X-Request-ID": "exemplary"}
    scene.sluice.post("txt2img", json=SMALL, headers=headers)
    asked = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = scene.sluice.get("/metrics", headers=asked)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}  # type: ignore[no-untyped-call]
    exemplars = [s.exemplar for s in families["sluice_engine_seconds"].samples if s.exemplar]
    assert {"trace_id": TRACE, "request_id": "exemplary"} in [e.labels for e in exemplars]


def test_what_was_made_is_counted_whoever_waits_for_it(scene: Scene) -> None:
    def made() -> float:
        text = scene.sluice.get("/metrics").text
        wanted = 'sluice_images_total{engine="webui",kind="txt2img"} '
        return sum(float(line.split()[-1]) for line in text.splitlines() if wanted in line)

    before = made()
    headers = {"Prefer": "respond-async"}
    accepted = scene.sluice.post("txt2img", json={**SMALL, "batch_size": 2}, headers=headers)
    ended_job(scene.sluice, accepted.json())
    assert made() == before + 2
    text = scene.sluice.get("/metrics").text
    for name in (
        "sluice_gateway_seconds_count",
        "sluice_queue_seconds_count",
        'sluice_engine_seconds_count{engine="webui"}',
        'sluice_megapixel_steps_total{engine="webui"}',
        'sluice_engine_checkpoint{checkpoint="tiny',
        'sluice_queue_oldest_seconds{view="own"} 0.0',
        "sluice_store_bytes",
        "sluice_disk_free_bytes",
        "sluice_limiter_degraded 0.0",
    ):
        assert name in text, name


def test_the_wait_of_a_request_that_was_never_served_is_measured(tmp_path: Path) -> None:
    with FakeWebUI() as webui:
        env = {"SD_WEBUI_URL": webui.url, "CPU_FALLBACK": "false", "QUEUE_TIMEOUT_S": "0.3"}
        with running_sluice(tmp_path, env) as sluice:
            webui.model.state.hold()
            sluice.post("txt2img", json=SMALL, headers={"Prefer": "respond-async"})
            wait_until(lambda: webui.in_flight == 1, "the engine is at work")
            assert sluice.post("txt2img", json=SMALL).status_code == 504
            count, total_s = figures(sluice, "sluice_queue_seconds")
            webui.model.state.release()
    assert count == 1
    assert 0.3 <= total_s < 5


def test_a_request_that_was_not_let_wait_has_no_wait(tmp_path: Path) -> None:
    with FakeWebUI() as webui:
        env = {"SD_WEBUI_URL": webui.url, "CPU_FALLBACK": "false", "MAX_QUEUE": "0"}
        with running_sluice(tmp_path, env) as sluice:
            webui.model.state.hold()
            sluice.post("txt2img", json=SMALL, headers={"Prefer": "respond-async"})
            wait_until(lambda: webui.in_flight == 1, "the engine is at work")
            assert sluice.post("txt2img", json=SMALL).status_code == 503
            assert figures(sluice, "sluice_queue_seconds")[0] == 0
            webui.model.state.release()


def figures(sluice: Sluice, name: str) -> tuple[float, float]:
    """How many were observed, and their sum."""
    shown = dict(line.rsplit(" ", 1) for line in sluice.get("/metrics").text.splitlines())
    return float(shown[f"{name}_count"]), float(shown[f"{name}_sum"])


def test_a_log_that_cannot_be_written_costs_no_request(tmp_path: Path) -> None:
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    with running_sluice(tmp_path, {"LOG_LEVEL": "debug"}) as sluice:
        master = sluice.process.pid
        (worker,) = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        resource.prlimit(int(worker), resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        statuses = [sluice.get(path).status_code for path in (f"{API}/health/live", "/nowhere")]
        resource.prlimit(int(worker), resource.RLIMIT_FSIZE, unlimited)
        assert statuses == [200, 404]
        after = sluice.get("/elsewhere", headers={"X-Request-ID": "after"})
    assert after.status_code == 404
    assert [x["status"] for x in records(sluice) if x.get("request_id") == "after"] == [404]
