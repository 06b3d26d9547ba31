"""The WebUI's own API where workers make the images: the same at each web process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
import requests
import webuiapi

from tests.backend.api.job_caller import Caller
from tests.backend.scaled_out.town import Town
from tests.fake_webui import FakeWebUI
from tests.pictures import b64, png
from tests.running import running_sluice, wait_until

ASKED = {"prompt": "a cat", "steps": 4, "width": 64, "height": 64}
PICTURED = ASKED | {"init_images": [b64(png())], "denoising_strength": 0.5}


def ask(caller: Caller, method: str, route: str, body: Any = None) -> requests.Response:
    url = f"{caller.sluice.url}/sdapi/v1/{route}"
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, json=body, headers=caller.headers, timeout=60)


def told(caller: Caller, route: str) -> Any:
    answer = ask(caller, "GET", route)
    assert answer.status_code == 200, answer.text
    return answer.json()


def await_lists(caller: Caller) -> None:
    wait_until(lambda: bool(told(caller, "sd-vae")), "the workers' lists are known")


def client_of(caller: Caller) -> webuiapi.WebUIApi:
    client = webuiapi.WebUIApi(port=caller.sluice.port, steps=4)
    client.session.trust_env = False
    client.session.headers.update(caller.headers)
    return client


def test_a_picture_is_made_for_the_webuis_own_client(town: Town) -> None:
    left, _ = town.callers()
    client = client_of(left)
    made = client.txt2img(prompt="a red circle", seed=500, width=64, height=64)
    client.session.close()
    assert made.image.size == (64, 64)
    assert (made.info["all_seeds"], made.info["sd_model_name"]) == ([500], "tinyA")
    assert made.info["infotexts"] == [made.image.info["parameters"]]
    assert town.made(500) == 1


def test_every_list_is_that_of_one_process(
    town: Town, tmp_path_factory: pytest.TempPathFactory
) -> None:
    caller, _ = town.callers()
    await_lists(caller)
    with FakeWebUI() as webui:
        env = {"SD_WEBUI_URL": webui.url, "CPU_FALLBACK": "false", "TRUSTED_PROXIES": "1"}
        with running_sluice(tmp_path_factory.mktemp("alone"), env) as alone:
            single = Caller(alone)
            for name in (
                *("sd-models", "samplers", "schedulers", "upscalers", "latent-upscale-modes"),
                *("loras", "embeddings", "sd-vae", "sd-modules", "hypernetworks", "scripts"),
                *("face-restorers", "realesrgan-models", "memory", "script-info", "options"),
            ):
                assert told(caller, name) == told(single, name), name


@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        ({"override_settings": {"sd_vae": "../../x"}}, ["override_settings", "sd_vae"]),
        ({"enable_hr": True, "hr_upscaler": "../none such"}, ["hr_upscaler"]),
    ],
)
def test_a_name_that_no_worker_told_of_is_refused(
    town: Town, fields: dict[str, Any], loc: list[str]
) -> None:
    for caller in town.callers():
        answer = ask(caller, "POST", "txt2img", ASKED | fields | {"seed": 501})
        assert answer.status_code == 422, answer.text
        assert [problem["loc"] for problem in answer.json()["detail"]] == [["body", *loc]]
    assert town.made(501) == 0


def test_a_name_that_a_worker_told_of_is_taken(town: Town) -> None:
    _, right = town.callers()
    await_lists(right)
    own = {"override_settings": {"sd_vae": "soft.vae.pt"}, "seed": 502}
    hires = {"enable_hr": True, "hr_upscaler": "R-ESRGAN 4x+", "denoising_strength": 0.5}
    assert ask(right, "POST", "txt2img", ASKED | own | hires).status_code == 200
    (body,) = (b for w in town.webuis for b in w.bodies("txt2img") if b["seed"] == 502)
    assert body["override_settings"]["sd_vae"] == "soft.vae.pt"
    assert body["hr_upscaler"] == "R-ESRGAN 4x+"


@pytest.mark.parametrize("way", ["interrupt", "skip"])
def test_a_request_held_at_one_web_process_is_told_of_and_ended_at_the_other(
    town: Town, way: str
) -> None:
    left, right = town.callers()
    stranger, _ = town.callers()
    with town.held(at_step=2), ThreadPoolExecutor(1) as threads:
        try:
            made = threads.submit(ask, left, "POST", "txt2img", ASKED | {"seed": -1})
            at_work, _ = town.busy()
            wait_until(lambda: bool(told(right, "progress")["current_image"]), "it is told of")
            now = told(right, "progress?skip_current_image=true")
            assert (now["state"]["job"], now["state"]["job_count"]) == ("scripts_txt2img", 1)
            assert (now["state"]["sampling_steps"], now["current_image"]) == (4, None)
            assert now["progress"] > 0
            assert told(stranger, "progress")["state"]["job_count"] == 0
            assert ask(stranger, "POST", way).status_code == 200
            assert town.webuis[at_work].in_flight == 1
            assert ask(right, "POST", way).status_code == 200
            answer = made.result()
            assert (answer.status_code, answer.json()["code"]) == (409, "generation_canceled")
            wait_until(lambda: not town.webuis[at_work].in_flight, "the WebUI was interrupted")
        finally:
            town.release()
    assert told(right, "progress")["state"]["job_count"] == 0


def test_requests_that_wait_at_one_web_process_are_called_off_at_the_other(town: Town) -> None:
    left, right = town.callers()
    others, _ = town.callers()
    with town.held(), ThreadPoolExecutor(1) as threads:
        try:
            at_work = [others.submit(seed=510 + n) for n in range(2)]
            wait_until(lambda: sum(w.in_flight for w in town.webuis) == 2, "both are at work")
            made = threads.submit(ask, left, "POST", "img2img", PICTURED | {"seed": 512})
            place = "Waiting in the queue at place 1"
            wait_until(lambda: told(right, "progress")["textinfo"] == place, "it waits")
            now = told(right, "progress")["state"]
            assert (now["job"], now["sampling_steps"]) == ("scripts_img2img", 2)
            ask(right, "POST", "interrupt")
            assert made.result().status_code == 409
        finally:
            town.release()
    for job_id in at_work:
        others.await_status(job_id, "succeeded")
    assert town.made(512) == 0


def test_jobs_that_nobody_waits_for_are_left_alone(town: Town) -> None:
    left, right = town.callers()
    with town.held(at_step=2):
        job_id = left.submit(seed=520)
        town.busy()
        left.await_job(job_id, lambda job: job["status"] == "processing", "its start is kept")
        assert told(right, "progress")["state"]["job_count"] == 0
        assert ask(right, "POST", "interrupt").json() == {}
    assert left.await_status(job_id, "succeeded")["runs"] == 1


def test_a_checkpoint_chosen_at_one_web_process_holds_at_the_other(town: Town) -> None:
    left, right = town.callers()
    stranger, _ = town.callers()
    assert ask(left, "POST", "options", {"sd_model_checkpoint": "tinyB"}).status_code == 200
    assert told(right, "options")["sd_model_checkpoint"].startswith("tinyB")
    assert told(stranger, "options")["sd_model_checkpoint"].startswith("tinyA")
    made = ask(right, "POST", "txt2img", ASKED | {"seed": 530}).json()
    assert orjson.loads(made["info"])["sd_model_name"] == "tinyB"


@pytest.mark.parametrize("route", ["extra-single-image", "interrogate"])
def test_tools_are_refused_and_say_why(town: Town, route: str) -> None:
    caller, _ = town.callers()
    answer = ask(caller, "POST", route, {"image": b64(png())})
    assert (answer.status_code, answer.json()["code"]) == (422, "unsupported_request")
    assert "workers make the images" in answer.text
    assert [webui.bodies(route) for webui in town.webuis] == [[], []]
