"""The three POSTs, through gunicorn, before a WebUI."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.fake_webui import FakeWebUI, Fault
from tests.pictures import b64, data_uri, from_data_uri, mask, opened, png
from tests.running import Sluice, running_sluice

SMALL = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 2, "seed": 7}


def made(answer: requests.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_txt2img_answers_the_very_bytes_the_webui_made(sluice: Sluice, webui: FakeWebUI) -> None:
    answer = made(sluice.post("txt2img", json=SMALL))
    direct = requests.post(
        f"{webui.url}/sdapi/v1/txt2img", json=webui.bodies("txt2img")[-1], timeout=10
    ).json()
    picture = from_data_uri(answer["image_base64"])
    assert answer["image_base64"] == "data:image/png;base64," + direct["images"][0]
    assert opened(picture).size == (64, 64)
    assert sluice.get(answer["image_url"]).content == picture


def test_the_answer_says_what_was_really_used(sluice: Sluice) -> None:
    answer = made(sluice.post("txt2img", json=SMALL))
    assert answer["seed"] == 7
    assert answer["model"] == "tinyA"
    assert (answer["device"], answer["engine"], answer["attempts"]) == ("cuda", "webui", 1)
    assert answer["cached"] is False
    used = answer["parameters"]
    assert (used["steps"], used["cfg_scale"], used["width"], used["height"]) == (2, 7.5, 64, 64)
    assert used["sampler_name"] == "Euler a"
    assert answer["processing_time"] >= 0
    assert "images" not in answer


def test_without_a_seed_one_is_drawn_and_told(sluice: Sluice) -> None:
    seeds = {made(sluice.post("txt2img", json=SMALL | {"seed": -1}))["seed"] for _ in range(3)}
    assert len(seeds) == 3
    assert -1 not in seeds


def test_a_batch_answers_each_image_with_its_seed(sluice: Sluice) -> None:
    answer = made(sluice.post("txt2img", json=SMALL | {"batch_size": 3}))
    assert [image["seed"] for image in answer["images"]] == [7, 8, 9]
    assert answer["image_id"] == answer["images"][0]["image_id"]
    assert len({image["image_base64"] for image in answer["images"]}) == 3


def test_a_url_alone_leaves_the_base64_out(sluice: Sluice) -> None:
    answer = made(sluice.post("txt2img", json=SMALL | {"response_format": "url"}))
    assert "image_base64" not in answer
    assert sluice.get(answer["image_url"]).status_code == 200


def test_accept_of_the_pictures_type_answers_its_bytes(sluice: Sluice) -> None:
    answer = sluice.post("txt2img", json=SMALL, headers={"Accept": "image/png"})
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["X-Seed"] == "7"
    assert sluice.get(answer.headers["Content-Location"]).content == answer.content


@pytest.mark.parametrize("encode", [b64, data_uri])
def test_img2img_takes_base64_with_or_without_a_data_uri(sluice: Sluice, encode: Any) -> None:
    body = {"prompt": "a star", "image": encode(png()), "steps": 2, "seed": 1}
    assert made(sluice.post("img2img", json=body))["parameters"]["strength"] == 0.75


def test_img2img_takes_files(sluice: Sluice, webui: FakeWebUI) -> None:
    picture = png(96, 64)
    fields = {"prompt": "a star", "steps": "2", "strength": "0.5", "seed": "1"}
    answer = made(sluice.post("img2img", data=fields, files={"image": ("a.png", picture)}))
    sent = webui.bodies("img2img")[-1]
    assert sent["init_images"] == [b64(picture)]
    assert sent["denoising_strength"] == 0.5
    assert (answer["parameters"]["width"], answer["parameters"]["height"]) == (96, 64)


def test_the_size_defaults_to_the_images_rounded_to_8(sluice: Sluice) -> None:
    body = {"prompt": "a star", "image": b64(png(100, 77)), "steps": 2}
    used = made(sluice.post("img2img", json=body))["parameters"]
    assert (used["width"], used["height"]) == (96, 80)


def test_inpainting_keeps_what_the_mask_leaves_black(sluice: Sluice, webui: FakeWebUI) -> None:
    original = png()
    files = {"image": ("a.png", original), "mask": ("m.png", mask())}
    answer = made(sluice.post("inpainting", data={"prompt": "a star", "steps": "2"}, files=files))
    sent = webui.bodies("img2img")[-1]
    assert (sent["inpainting_fill"], sent["inpaint_full_res"], sent["mask_blur"]) == (1, False, 4)
    result = opened(from_data_uri(answer["image_base64"])).convert("RGB")
    assert result.getpixel((1, 1)) == opened(original).getpixel((1, 1))


def test_nothing_but_our_own_model_reaches_the_webui(sluice: Sluice, webui: FakeWebUI) -> None:
    sluice.post("txt2img", json=SMALL)
    sent = webui.bodies("txt2img")[-1]
    for dangerous in ("script_name", "script_args", "alwayson_scripts", "infotext", "styles"):
        assert not sent.get(dangerous)
    known = {"sd_model_checkpoint", "CLIP_stop_at_last_layers", "sd_vae"}
    assert sent.get("override_settings", {}).keys() <= known


def test_another_checkpoint_is_used_when_named(sluice: Sluice) -> None:
    assert made(sluice.post("txt2img", json=SMALL | {"model": "tinyB"}))["model"] == "tinyB"


@pytest.mark.parametrize(
    ("field", "value", "offered"),
    [
        ("model", "nope", "tinyA"),
        ("sampler_name", "Nope", "Euler a"),
        ("scheduler", "nope", "arras"),
    ],
)
def test_an_unknown_name_is_refused_with_those_there_are(
    sluice: Sluice, field: str, value: str, offered: str
) -> None:
    answer = sluice.post("txt2img", json=SMALL | {field: value})
    assert answer.status_code == 422
    (wrong,) = answer.json()["errors"]
    assert wrong["field"] == field
    assert offered in wrong["message"]


def test_the_answer_tells_the_times_of_queue_engine_and_gateway(sluice: Sluice) -> None:
    answer = sluice.post("txt2img", json=SMALL)
    parts = [part.split(";")[0] for part in answer.headers["Server-Timing"].split(", ")]
    assert parts == ["queue", "engine", "gateway"]


@pytest.mark.parametrize(
    ("sent", "kept"), [("abc-1.2_3", True), ("bad id\t", False), ("x" * 129, False)]
)
def test_a_sane_request_id_is_kept_and_another_replaced(
    sluice: Sluice, sent: str, kept: bool
) -> None:
    answer = sluice.get("/api/v1/ai/generation/models", headers={"X-Request-ID": sent})
    assert (answer.headers["X-Request-ID"] == sent) is kept
    assert answer.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault.CRASH, 502, "engine_failed"),
        (Fault.OOM, 502, "engine_out_of_memory"),
        (Fault.NOT_JSON, 502, "wrong_result"),
    ],
)
def test_a_webui_that_fails_is_told_as_a_problem(
    tmp_path_factory: pytest.TempPathFactory, fault: Fault, status: int, code: str
) -> None:
    with FakeWebUI() as webui:
        env = {"SD_WEBUI_URL": webui.url, "CPU_FALLBACK": "false"}
        with running_sluice(tmp_path_factory.mktemp("faulty"), env) as sluice:
            webui.inject(fault)
            answer = sluice.post("txt2img", json=SMALL)
    problem = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status_code, problem["code"]) == (status, code)
    assert problem["detail"] == problem["error"]
    assert problem["request_id"] == answer.headers["X-Request-ID"]
