"""The server killed, stopped and started again: no accepted job is lost, none runs for ever."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests

from tests.backend.api.job_caller import BEHIND_A_PROXY, SMALL, Caller
from tests.backend.receivers import Receiver, receiving
from tests.fake_webui import FakeWebUI
from tests.fake_webui_pictures import make_pixels
from tests.pictures import b64, mask, opened, png
from tests.running import API, running_sluice, wait_until


@pytest.fixture
def webui() -> Iterator[FakeWebUI]:
    with FakeWebUI() as webui:
        yield webui


@contextmanager
def gateway(webui: FakeWebUI, folder: Path, **env: str) -> Iterator[Caller]:
    settings = {"SD_WEBUI_URL": webui.url, **BEHIND_A_PROXY, **env}
    with running_sluice(folder, settings) as sluice:
        yield Caller(sluice)


def submitted(caller: Caller, count: int, **fields: Any) -> list[str]:
    """Jobs with seeds 0, 1, ...; the last two made from pictures."""
    jobs = [caller.submit(seed=seed, **fields) for seed in range(count - 2)]
    pictures = {"image": b64(png()), "width": None, "height": None, **fields}
    jobs.append(caller.submit("img2img", seed=count - 2, **pictures))
    jobs.append(caller.submit("inpainting", seed=count - 1, mask=b64(mask()), **pictures))
    return jobs


def runs_by_seed(webui: FakeWebUI) -> Counter[int]:
    bodies = webui.bodies("txt2img") + webui.bodies("img2img")
    return Counter(int(body["seed"]) for body in bodies)


def test_killed_with_eleven_jobs_it_ends_each_of_them_once(
    webui: FakeWebUI, tmp_path: Path
) -> None:
    with gateway(webui, tmp_path) as caller:
        webui.model.state.hold()
        jobs = submitted(caller, 11)
        synchronous = threading.Thread(target=ask_in_vain, args=(caller,))
        synchronous.start()
        wait_until(lambda: len(caller.get("").json()["jobs"]) == 12, "the twelfth waits")
        caller.await_job(jobs[0], lambda job: job["runs"] == 1, "the first is at work")
        caller.sluice.kill()
        synchronous.join()
        webui.model.state.release()
        caller.sluice.start()
        ended = [caller.await_status(job_id, "succeeded") for job_id in jobs]
        (lost,) = caller.get("?status=failed").json()["jobs"]
        for seed, job in enumerate(ended):
            (image,) = job["images"]
            assert image["seed"] == seed
            picture = caller.sluice.get(image["image_url"])
            assert picture.status_code == 200
            if job["kind"] == "txt2img":
                fresh = make_pixels(seed, SMALL["prompt"], "tinyA", width=64, height=64)  # type: ignore[arg-type]
                assert opened(picture.content).tobytes() == fresh.tobytes()
    assert [(job["runs"], job["attempts"]) for job in ended] == [(2, 2)] + [(1, 1)] * 10
    assert runs_by_seed(webui) == {seed: 1 + (seed == 0) for seed in range(11)}
    assert lost["error"]["code"] == "interrupted"
    painted = opened(picture.content).convert("RGB")
    assert painted.getpixel((1, 1)) == opened(png()).getpixel((1, 1))


def ask_in_vain(caller: Caller) -> None:
    url = f"{caller.sluice.url}{API}/txt2img"
    with pytest.raises(requests.ConnectionError):
        requests.post(url, json=SMALL, headers=caller.headers, timeout=60)


def test_killed_with_eleven_jobs_each_webhook_is_delivered(
    webui: FakeWebUI, tmp_path: Path
) -> None:
    env = {
        "WEBHOOK_SECRET": "whsec_" + b64(b"k" * 32),
        "ALLOW_HTTP_WEBHOOKS": "true",
        "ALLOW_PRIVATE_WEBHOOKS": "true",
    }
    with receiving() as receiver, gateway(webui, tmp_path, **env) as caller:
        webui.model.state.hold()
        jobs = submitted(caller, 11, webhook_url=receiver.url)
        caller.await_job(jobs[0], lambda job: job["runs"] == 1, "the first is at work")
        caller.sluice.kill()
        assert receiver.received == []
        webui.model.state.release()
        caller.sluice.start()
        wait_until(lambda: len(told_of(receiver)) == 11, "each end is told")
        for job_id in jobs:
            caller.await_job(job_id, lambda job: job["webhook"]["state"] == "delivered", "kept")
    told = told_of(receiver)
    assert set(told) == set(jobs)
    assert all(len(ids) == 1 for ids in told.values())


def told_of(receiver: Receiver) -> dict[str, set[str]]:
    """The webhook-ids that told of each job's success."""
    told: dict[str, set[str]] = {}
    for call in list(receiver.received):
        event = orjson.loads(call.body)
        assert event["type"] == "job.succeeded"
        headers = {name.lower(): value for name, value in call.headers.items()}
        told.setdefault(event["data"]["job_id"], set()).add(headers["webhook-id"])
    return told


def test_a_job_that_was_at_work_in_two_crashes_fails_clearly(
    webui: FakeWebUI, tmp_path: Path
) -> None:
    with gateway(webui, tmp_path) as caller:
        webui.model.state.hold()
        victim, behind = caller.submit(seed=1), caller.submit(seed=2)
        for runs in (1, 2):
            wait_until(lambda r=runs: caller.job(victim)["runs"] == r, "it is at work")  # type: ignore[misc]
            caller.sluice.kill()
            webui.model.state.stop()
            wait_until(lambda: webui.in_flight == 0, "the WebUI is free")
            webui.model.state.restart()
            caller.sluice.start()
        failed = caller.await_status(victim, "failed")
        webui.model.state.release()
        caller.await_status(behind, "succeeded")
    assert failed["error"]["code"] == "interrupted"
    assert "twice" in failed["error"]["message"]
    assert (failed["runs"], failed["attempts"]) == (2, 2)
    assert runs_by_seed(webui) == {1: 2, 2: 1}


def test_jobs_wait_for_a_webui_that_is_not_there_after_a_restart(
    webui: FakeWebUI, tmp_path: Path
) -> None:
    with gateway(webui, tmp_path) as caller:
        webui.model.state.hold()
        jobs = submitted(caller, 4)
        caller.sluice.kill()
        webui.stop()
        webui.model.state.release()
        caller.sluice.start()
        assert [caller.job(job_id)["status"] for job_id in jobs] == ["queued"] * 4
        canceled = caller.cancel(jobs[1]).json()
        assert canceled["status"] == "canceled"
        webui.start()
        for job_id in jobs[:1] + jobs[2:]:
            caller.await_status(job_id, "succeeded")
        assert caller.job(jobs[1])["status"] == "canceled"
    assert 1 not in runs_by_seed(webui)


def test_stopped_it_lets_what_runs_end_and_leaves_the_rest_to_the_next(
    webui: FakeWebUI, tmp_path: Path
) -> None:
    with gateway(webui, tmp_path, GRACE_S="60") as caller:
        webui.model.state.hold()
        jobs = submitted(caller, 4)
        caller.await_job(jobs[0], lambda job: job["runs"] == 1, "the first is at work")
        with caller.watching(jobs[0]) as runs, caller.watching(jobs[1]) as waits:
            assert (next(runs).name, next(waits).name) == ("processing", "queued")
            caller.sluice.process.send_signal(signal.SIGTERM)
            assert [event.name for event in waits] == []
            refused = caller.post()
            assert (refused.status_code, refused.json()["code"]) == (503, "shutting_down")
            assert caller.sluice.get(f"{API}/health/ready").status_code == 503
            assert caller.job(jobs[1])["status"] == "queued"
            webui.model.state.release()
            assert [event.name for event in runs][-1] == "succeeded"
        assert caller.sluice.process.wait(timeout=30) == 0
        assert runs_by_seed(webui) == {0: 1}
        caller.sluice.start()
        ended = [caller.await_status(job_id, "succeeded") for job_id in jobs]
    assert [job["runs"] for job in ended] == [1] * 4
    assert runs_by_seed(webui) == dict.fromkeys(range(4), 1)


@pytest.mark.parametrize(("number", "grace_s"), [(signal.SIGTERM, "0.2"), (signal.SIGINT, "60")])
def test_what_does_not_end_in_time_is_put_back_and_run_by_the_next(
    webui: FakeWebUI, tmp_path: Path, number: signal.Signals, grace_s: str
) -> None:
    with gateway(webui, tmp_path, GRACE_S=grace_s) as caller:
        webui.model.state.hold()
        job_id = caller.submit()
        caller.await_job(job_id, lambda job: job["runs"] == 1, "it is at work")
        with caller.watching(job_id) as told:
            assert next(told).name == "processing"
            caller.sluice.process.send_signal(number)
            assert [event.name for event in told] == []
        assert caller.sluice.process.wait(timeout=30) == 0
        assert any(seen.path.endswith("/interrupt") for seen in webui.seen)
        webui.model.state.release()
        caller.sluice.start()
        job = caller.await_status(job_id, "succeeded")
    assert (job["runs"], job["attempts"]) == (1, 1)
