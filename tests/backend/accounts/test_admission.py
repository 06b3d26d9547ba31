"""Jobs at once and budgets of work at the front door."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.backend.accounts.conftest import SETTINGS, new_key
from tests.fake_webui import FakeWebUI, Fault
from tests.pictures import b64, mask, png
from tests.running import API, Sluice, running_redis, running_sluice, wait_until

SMALL = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 10}
COST = 64 * 64 * 10 / 1e6
ASYNC = {"Prefer": "respond-async"}


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("redis")) as (url, _):
        yield url


@pytest.fixture(scope="module")
def budgeted(
    redis: str, webui: FakeWebUI, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sluice]:
    """Asks for keys, remembers results; no key has limits but those it is made with."""
    env = {"SD_WEBUI_URL": webui.url, **SETTINGS, "RESULT_CACHE": "on", "MAX_RETRIES": "0"}
    folder = tmp_path_factory.mktemp("budgeted")
    with running_sluice(folder, env | {"REDIS_URL": redis}) as sluice:
        yield sluice


class Client:
    """A holder of a key made with `options`."""

    def __init__(self, sluice: Sluice, *options: str) -> None:
        self.sluice = sluice
        self.headers = {"X-API-Key": new_key(sluice, *options)}

    def post(self, **body: object) -> requests.Response:
        return self.sluice.post("txt2img", json=SMALL | body, headers=self.headers)

    def submit(self, **body: object) -> requests.Response:
        return self.sluice.post("txt2img", json=SMALL | body, headers=self.headers | ASYNC)

    def send(self, path: str, body: dict[str, object]) -> requests.Response:
        url = self.sluice.url + path
        return self.sluice.http.post(url, json=body, headers=self.headers, timeout=60)

    def left(self) -> dict[str, float]:
        answer = self.sluice.get(f"{API}/account", headers=self.headers)
        assert answer.status_code == 200, answer.text
        return {limit["name"]: limit["remaining"] for limit in answer.json()["limits"]}

    def cancel(self, job: requests.Response) -> None:
        url = self.sluice.url + job.json()["urls"]["cancel"]
        assert self.sluice.http.delete(url, headers=self.headers, timeout=30).status_code == 200


def units(count: float) -> str:
    return f"{count * COST:.6f}"


def test_work_is_charged_by_its_cost_and_refused_when_spent(budgeted: Sluice) -> None:
    client = Client(budgeted, "--hour", units(4))
    assert client.post(batch_size=2).status_code == 200
    assert client.left()["work-hour"] == pytest.approx(2 * COST)
    refused = client.post(steps=30)
    assert (refused.status_code, refused.json()["code"]) == (429, "budget_exceeded")
    assert 3500 < int(refused.headers["Retry-After"]) <= 3600
    assert client.post(steps=20).status_code == 200
    assert client.left()["work-hour"] == 0
    never = client.post(steps=50)
    assert (never.status_code, never.json()["code"]) == (422, "too_costly")


@pytest.mark.parametrize(
    ("path", "body", "pixel_steps"),
    [
        (f"{API}/img2img", {"image": b64(png()), "strength": 0.5}, 64 * 64 * 5),
        (f"{API}/img2img", {"image": b64(png()), "strength": 0.01}, 64 * 64),
        (
            f"{API}/inpainting",
            {"image": b64(png()), "mask": b64(mask()), "strength": 0.9},
            64 * 64 * 9,
        ),
        (f"{API}/txt2img", {"batch_size": 3}, 64 * 64 * 10 * 3),
        (
            "/sdapi/v1/txt2img",
            {"enable_hr": True, "hr_scale": 2, "denoising_strength": 0.5, "hr_upscaler": "Latent"},
            64 * 64 * 10 + 128 * 128 * 5,
        ),
        (
            "/sdapi/v1/img2img",
            {"init_images": [b64(png())], "denoising_strength": 0.3, "n_iter": 2},
            64 * 64 * 3 * 2,
        ),
    ],
)
def test_strength_batches_and_a_second_pass_are_counted(
    budgeted: Sluice, path: str, body: dict[str, object], pixel_steps: int
) -> None:
    client = Client(budgeted, "--hour", "100")
    answer = client.send(path, SMALL | body)
    assert answer.status_code == 200, answer.text
    assert 100 - client.left()["work-hour"] == pytest.approx(pixel_steps / 1e6)


@pytest.mark.parametrize(
    ("tool", "body", "pixels"),
    [
        ("extra-single-image", {"upscaling_resize": 8}, 512 * 512),
        (
            "extra-single-image",
            {"resize_mode": 1, "upscaling_resize_w": 640, "upscaling_resize_h": 320},
            640 * 320,
        ),
        ("interrogate", {"model": "clip"}, 320 * 400),
    ],
)
def test_a_tool_costs_what_ten_steps_of_its_picture_would(
    budgeted: Sluice, tool: str, body: dict[str, object], pixels: int
) -> None:
    client = Client(budgeted, "--hour", "100")
    size = (320, 400) if tool == "interrogate" else (64, 64)
    answer = client.send(f"/sdapi/v1/{tool}", body | {"image": b64(png(*size))})
    assert answer.status_code == 200, answer.text
    assert 100 - client.left()["work-hour"] == pytest.approx(pixels * 10 / 1e6)


def test_every_policy_is_told_in_the_headers(budgeted: Sluice) -> None:
    client = Client(budgeted, "--jobs", "3", "--hour", "50", "--day", "100")
    answer = client.post()
    assert answer.headers["RateLimit-Policy"] == (
        '"generation";q=1000;w=60, "global";q=1000;w=60, '
        '"concurrency";q=3;qu="concurrent-requests", '
        '"work-hour";q=50;w=3600;qu="megapixel-steps", '
        '"work-day";q=100;w=86400;qu="megapixel-steps"'
    )
    assert (
        '"concurrency";r=3, "work-hour";r=49;t=3600, "work-day";r=99;t=86400'
        in (answer.headers["RateLimit"])
    )
    assert "qu=" not in Client(budgeted).post().headers["RateLimit-Policy"]


def test_no_two_policies_of_a_caller_have_one_name(budgeted: Sluice) -> None:
    client = Client(budgeted, "--jobs", "3", "--hour", "50")
    made = client.post()
    asked = budgeted.get(f"{API}/account", headers=client.headers)
    names = [
        set(re.findall(r'"([^"]+)";q=', answer.headers["RateLimit-Policy"]))
        for answer in (made, asked)
    ]
    assert names == [{"generation", "global", "concurrency", "work-hour"}, {"jobs"}]
    assert {limit["name"] for limit in asked.json()["limits"]} == {"concurrency", "work-hour"}


def test_what_made_nothing_costs_nothing(budgeted: Sluice, webui: FakeWebUI) -> None:
    client = Client(budgeted, "--hour", units(10))
    webui.inject(Fault.NAN)
    assert client.post().status_code == 502
    assert client.post(model="nowhere").status_code == 422
    assert client.left()["work-hour"] == pytest.approx(10 * COST)
    assert client.post(seed=5).json()["cached"] is False
    assert client.post(seed=5).json()["cached"] is True
    assert client.left()["work-hour"] == pytest.approx(9 * COST)


def test_places_are_taken_by_queued_and_running_jobs_and_cost_no_budget(
    budgeted: Sluice, webui: FakeWebUI
) -> None:
    client = Client(budgeted, "--jobs", "2", "--day", units(10))
    webui.model.state.hold(at_step=1)
    try:
        running, queued = client.submit(), client.submit()
        refused = client.post()
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_jobs")
        assert int(refused.headers["Retry-After"]) >= 1
        assert client.left() == {"concurrency": 0, "work-day": pytest.approx(8 * COST)}

        client.cancel(queued)
        assert client.left() == {"concurrency": 1, "work-day": pytest.approx(9 * COST)}
        path = running.json()["urls"]["self"]

        def at_work() -> bool:
            job = budgeted.get(path, headers=client.headers).json()
            return bool(job["status"] == "processing")

        wait_until(at_work, "the first job is at work")
        client.cancel(running)
        assert client.left() == {"concurrency": 2, "work-day": pytest.approx(9 * COST)}
    finally:
        webui.model.state.release()


@pytest.mark.parametrize("counted_in", ["memory", "redis"])
def test_a_request_without_a_place_uses_up_no_hit(
    webui: FakeWebUI, redis: str, tmp_path: Path, counted_in: str
) -> None:
    env = {"SD_WEBUI_URL": webui.url, "CPU_FALLBACK": "false", "MAX_JOBS_PER_CALLER": "1"}
    env |= {"RATELIMIT_GENERATION": "3/minute", "RATELIMIT_GLOBAL": "4/minute;9/hour"}
    env |= {"TRUSTED_PROXIES": "1"} | ({"REDIS_URL": redis} if counted_in == "redis" else {})
    mine = {"X-Forwarded-For": f"203.0.113.{len(counted_in)}"}
    doors = {
        f"{API}/txt2img": SMALL,
        "/sdapi/v1/txt2img": SMALL,
        "/v1/images/generations": {"prompt": "a red circle", "size": "64x64"},
    }
    with running_sluice(tmp_path, env) as sluice:

        def post(path: str, **headers: str) -> requests.Response:
            url, body = sluice.url + path, doors[path]
            return sluice.http.post(url, json=body, headers=mine | headers, timeout=60)

        webui.model.state.hold(at_step=1)
        try:
            assert post(f"{API}/txt2img", **ASYNC).status_code == 202
            with ThreadPoolExecutor(2) as clients:
                answers = list(clients.map(post, [*doors] * 4))
            assert [answer.status_code for answer in answers] == [429] * 12
            refused = post(f"{API}/txt2img")
        finally:
            webui.model.state.release()
    assert refused.json()["code"] == "too_many_jobs"
    assert re.sub(r";t=\d+", "", refused.headers["RateLimit"]) == (
        '"generation";r=2, "global-minute";r=3, "global-hour";r=8, "concurrency";r=0'
    )
    assert refused.headers["X-RateLimit-Remaining"] == "2"


def test_a_key_uses_only_its_checkpoints(budgeted: Sluice) -> None:
    client = Client(budgeted, "--checkpoints", "tinyB")
    assert client.post().json()["model"] == "tinyB"
    assert client.post(model="tinyB.safetensors").status_code == 200
    for asked in ("tinyA", "tinyA.safetensors", "nowhere"):
        refused = client.post(model=asked)
        assert (refused.status_code, refused.json()["code"]) == (403, "checkpoint_not_allowed")


def test_the_settings_hold_for_whom_no_key_says_otherwise(webui: FakeWebUI, tmp_path: Path) -> None:
    env = {"SD_WEBUI_URL": webui.url, "CPU_FALLBACK": "false", "BUDGET_HOUR": units(1)}
    env |= {"MAX_JOBS_PER_CALLER": "1", "RESULT_CACHE": "off"}
    with running_sluice(tmp_path, env) as sluice:
        assert [sluice.post("txt2img", json=SMALL).status_code for _ in range(2)] == [200, 429]
        account = sluice.get(f"{API}/account").json()
        assert account["limits"][0] == {
            "name": "concurrency",
            "unit": "concurrent-requests",
            "quota": 1,
            "remaining": 1,
        }


def test_a_killed_process_gives_its_places_back_and_resumed_jobs_keep_theirs(
    webui: FakeWebUI, redis: str, tmp_path: Path
) -> None:
    env = {"SD_WEBUI_URL": webui.url, **SETTINGS, "REDIS_URL": redis}
    with running_sluice(tmp_path, env) as sluice:
        client = Client(sluice, "--jobs", "1", "--hour", units(5))
        webui.model.state.hold(at_step=1)
        try:
            client.submit()
            sluice.kill()
            sluice.start()
            assert client.left()["concurrency"] == 0
            assert client.post().json()["code"] == "too_many_jobs"
        finally:
            webui.model.state.release()
        wait_until(lambda: client.left()["concurrency"] == 1, "the resumed job has ended")
        assert client.left()["work-hour"] == pytest.approx(4 * COST)


def test_a_stalled_redis_holds_nobody_up_twice(webui: FakeWebUI, tmp_path: Path) -> None:
    with running_redis(tmp_path) as (url, process):
        env = {"SD_WEBUI_URL": webui.url, **SETTINGS, "REDIS_URL": url}
        with running_sluice(tmp_path, env) as sluice:
            client = Client(sluice, "--hour", units(4))
            assert client.post().status_code == 200
            process.send_signal(signal.SIGSTOP)
            assert [client.post().status_code for _ in range(5)] == [200] * 4 + [429]
            process.send_signal(signal.SIGCONT)
            # It has the first job, and perhaps the one whose admission was stuck in its socket.
            wait_until(lambda: client.left()["work-hour"] > COST, "Redis counts again")
            assert sluice.log().count("limits kept in memory") == 1
