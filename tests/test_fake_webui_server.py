"""The fake WebUI as a server: its start and end, credentials, queue and connections."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.fake_webui import FakeWebUI, Fault
from tests.fake_webui_wire import SAMPLES
from tests.running import wait_until

Samples = dict[str, dict[str, Any]]
RECORDED: Samples = {file.stem: json.loads(file.read_text()) for file in SAMPLES.glob("*.json")}
NEEDS_A_RUNNING_JOB = {"progress-running", "txt2img-interrupted"}


@pytest.fixture
def webui() -> Iterator[FakeWebUI]:
    with FakeWebUI() as running:
        yield running


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def post(
    http: requests.Session, webui: FakeWebUI, path: str = "txt2img", **body: Any
) -> requests.Response:
    small = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 2, "seed": 42}
    return http.post(f"{webui.url}/sdapi/v1/{path}", json=small | body, timeout=10)


def get(http: requests.Session, webui: FakeWebUI, path: str) -> Any:
    return http.get(f"{webui.url}/sdapi/v1/{path}", timeout=10).json()


def test_everything_is_404_while_it_starts(http: requests.Session) -> None:
    with FakeWebUI(starting=True) as webui:
        early = post(http, webui)
        webui.starting = False
        assert post(http, webui).status_code == 200
    assert (early.status_code, early.json()) == (404, {"detail": "Not Found"})


@pytest.mark.parametrize(("flavour", "challenges"), [("forge", True), ("a1111", False)])
def test_api_auth_guards_everything(http: requests.Session, flavour: Any, challenges: bool) -> None:
    with FakeWebUI(auth="me:pass", flavour=flavour) as webui:
        url = f"{webui.url}/sdapi/v1/samplers"
        answers = [
            http.get(url, auth=auth, timeout=10) for auth in (None, ("me", "wrong"), ("me", "pass"))
        ]
    assert [answer.status_code for answer in answers] == [401, 401, 200]
    assert "detail" in answers[0].json()
    assert ("WWW-Authenticate" in answers[0].headers) is challenges


def test_one_job_runs_at_a_time_and_the_first_come_is_first(http: requests.Session) -> None:
    with FakeWebUI() as webui, ThreadPoolExecutor() as pool:
        webui.model.state.hold()
        jobs = []
        for seed in range(4):
            jobs.append(pool.submit(post, requests.Session(), webui, seed=seed))
            webui.wait_for_requests(seed + 1)
        webui.model.state.release()
        assert {job.result().status_code for job in jobs} == {200}
        ended = sorted(webui.seen, key=lambda seen: seen.ended_at or 0)
    assert webui.max_in_flight == 4
    assert [seen.body["seed"] for seen in ended] == [0, 1, 2, 3]


def test_a_client_that_goes_away_does_not_stop_its_job(webui: FakeWebUI) -> None:
    webui.model.state.hold(at_step=1)
    with requests.Session() as impatient, pytest.raises(requests.ReadTimeout):
        impatient.post(f"{webui.url}/sdapi/v1/txt2img", json={"steps": 9}, timeout=0.2)
    assert webui.in_flight == 1
    assert webui.model.state.job


def dropped(http: requests.Session, webui: FakeWebUI) -> bool:
    try:
        post(http, webui)
    except requests.ConnectionError:
        return True
    return False


@pytest.mark.parametrize(
    "fault", [Fault.DROP_BEFORE_READING, Fault.DROP_AT_WORK, Fault.DROP_MID_ANSWER]
)
def test_connections_can_be_dropped(webui: FakeWebUI, http: requests.Session, fault: Fault) -> None:
    webui.inject(fault)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        post(http, webui)
    assert post(http, webui).status_code == 200


def test_a_connection_can_be_reset_when_it_is_used_again(
    webui: FakeWebUI, http: requests.Session
) -> None:
    webui.inject(Fault.RESET_WHEN_REUSED)
    assert post(http, webui).status_code == 200
    assert dropped(http, webui)
    assert webui.hang_ups == 1
    assert len(webui.seen) == 1


def test_forge_closes_the_connection_after_a_crash_without_saying_so(
    webui: FakeWebUI, http: requests.Session
) -> None:
    answer = http.post(f"{webui.url}/sdapi/v1/txt2img", json={"steps": 0}, timeout=10, stream=True)
    with answer:
        assert "Connection" not in answer.headers
        assert answer.raw.connection is not None
        closed = answer.raw.connection.sock
        assert answer.json()["error"] == "ZeroDivisionError"
        closed.settimeout(10)
        assert closed.recv(1) == b""


def test_it_dies_and_comes_back_on_the_same_port(webui: FakeWebUI, http: requests.Session) -> None:
    url = webui.url
    webui.model.state.hold()
    with ThreadPoolExecutor() as pool:
        job = pool.submit(dropped, requests.Session(), webui)
        webui.wait_for_requests(1)
        webui.stop()
        assert job.result()
    assert dropped(http, webui)
    webui.model.state.release()
    webui.start()
    assert webui.url == url
    assert post(http, webui).status_code == 200


def test_sdcpp_leaves_info_empty_and_lacks_progress_interrupt_and_memory(
    http: requests.Session,
) -> None:
    with FakeWebUI(flavour="sdcpp") as webui:
        answer = post(http, webui)
        assert answer.json()["info"] == ""
        assert answer.json()["parameters"] == webui.bodies("txt2img")[0]
        assert http.post(f"{webui.url}/sdapi/v1/interrupt", timeout=10).status_code == 404
        for path in ("progress", "memory"):
            assert http.get(f"{webui.url}/sdapi/v1/{path}", timeout=10).status_code == 404
        assert get(http, webui, "options").keys() == {"samples_format", "sd_model_checkpoint"}


def test_heavy_pictures_weigh_as_much_as_photographs(http: requests.Session) -> None:
    with FakeWebUI(realistic=True) as webui:
        answer = post(http, webui, width=512, height=512).json()
    assert 400_000 < len(base64.b64decode(answer["images"][0])) < 700_000


@pytest.fixture
def spawn() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.fake_webui", *options]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_as_a_process_it_can_be_killed_and_started_again_on_its_port(
    http: requests.Session, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    first = spawn("--latency-s", "60")
    assert first.stdout is not None
    url = first.stdout.readline().strip()
    lost = threading.Event()

    def wait_in_vain() -> None:
        with requests.Session() as waiting, pytest.raises(requests.ConnectionError):
            waiting.post(f"{url}/sdapi/v1/txt2img", json={"steps": 9}, timeout=30)
        lost.set()

    threading.Thread(target=wait_in_vain).start()
    progress = f"{url}/sdapi/v1/progress"
    wait_until(lambda: bool(http.get(progress, timeout=10).json()["state"]["job"]), "a job began")
    first.send_signal(signal.SIGKILL)
    assert lost.wait(10)
    first.wait(10)
    second = spawn("--port", url.rpartition(":")[2])
    assert second.stdout is not None
    assert second.stdout.readline().strip() == url
    body = {"prompt": "x", "width": 64, "height": 64}
    assert http.post(f"{url}/sdapi/v1/txt2img", json=body, timeout=10).status_code == 200
