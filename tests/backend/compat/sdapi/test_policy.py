"""What is refused, what is ignored, and that neither reaches the WebUI."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from backend.compat.sdapi.policy import IGNORED, REFUSED_UNLESS
from tests.fake_webui import FakeWebUI
from tests.pictures import b64, mask, png
from tests.running import Sluice

ASKED = {"prompt": "a cat", "steps": 2, "width": 64, "height": 64}
SOME = {
    "script_name": "prompts from file or textbox",
    "script_args": ["/etc/passwd"],
    "styles": ["mine"],
    "include_init_images": True,
    "mask_round": False,
    "refiner_checkpoint": "tinyB",
    "hr_additional_modules": ["a"],
    "disable_extra_networks": True,
    "initial_noise_multiplier": 1.5,
}
"""A value of each that is refused; of the others any number is."""
UNIT = {"image": b64(png()), "module": "canny", "model": "canny [1]"}


def ask(sluice: Sluice, route: str = "txt2img", /, **fields: Any) -> requests.Response:
    return sluice.http.post(f"{sluice.url}/sdapi/v1/{route}", json=ASKED | fields, timeout=60)


def refused(answer: requests.Response) -> list[list[object]]:
    """The `loc` of each refused field."""
    assert answer.status_code == 422, answer.text
    return [problem["loc"] for problem in answer.json()["detail"]]


@pytest.mark.parametrize("name", REFUSED_UNLESS)
def test_what_would_reach_too_far_is_refused_by_name(
    sluice: Sluice, webui: FakeWebUI, name: str
) -> None:
    assert refused(ask(sluice, **{name: SOME.get(name, 64)})) == [["body", name]]
    assert webui.bodies("txt2img") == []


@pytest.mark.parametrize("name", REFUSED_UNLESS)
def test_what_asks_for_nothing_is_taken(sluice: Sluice, name: str) -> None:
    for value in (None, *REFUSED_UNLESS[name]):
        assert ask(sluice, **{name: value}, seed=1).status_code == 200


def test_what_is_ignored_does_not_reach_the_webui(sluice: Sluice, webui: FakeWebUI) -> None:
    ours = {"do_not_save_grid": True, "do_not_save_samples": True, "save_images": False}
    ours["override_settings_restore_afterwards"] = True
    sent = dict.fromkeys(IGNORED, "mine") | {name: not value for name, value in ours.items()}
    assert ask(sluice, **sent, no_such_field="mine").status_code == 200
    body = webui.bodies("txt2img")[0]
    assert "mine" not in body.values()
    assert {name: body[name] for name in ours} == ours


@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        (
            {"override_settings": {"outdir_samples": "/tmp"}},
            ["override_settings", "outdir_samples"],
        ),
        ({"override_settings": {"sd_vae": "../x"}}, ["override_settings", "sd_vae"]),
        (
            {"override_settings": {"CLIP_stop_at_last_layers": 13}},
            ["override_settings", "CLIP_stop_at_last_layers"],
        ),
        (
            {"override_settings": {"sd_model_checkpoint": "none such"}},
            ["override_settings", "sd_model_checkpoint"],
        ),
        ({"alwayson_scripts": {"reactor": {"args": [UNIT]}}}, ["alwayson_scripts", "reactor"]),
        ({"steps": 1000}, ["steps"]),
        ({"steps": "many"}, ["steps"]),
        ({"width": 100_000}, ["width"]),
        ({"width": 100}, ["width"]),
        ({"cfg_scale": 1000}, ["cfg_scale"]),
        ({"batch_size": 3, "n_iter": 2}, ["n_iter"]),
        ({"sampler_name": "none such"}, ["sampler_name"]),
        ({"prompt": "<sd_cpp_extra_args>{}"}, ["prompt"]),
        ({"enable_hr": True, "hr_scale": 16, "width": 512}, ["hr_scale"]),
        ({"enable_hr": True, "hr_resize_x": 4096}, ["hr_resize_x"]),
        ({"enable_hr": True, "hr_upscaler": "none such"}, ["hr_upscaler"]),
        ({"enable_hr": True, "hr_second_pass_steps": 999}, ["hr_second_pass_steps"]),
        ({"enable_hr": True, "hr_prompt": "<sd_cpp_extra_args>"}, ["hr_prompt"]),
        ({"subseed_strength": 2}, ["subseed_strength"]),
        ({"s_noise": -1}, ["s_noise"]),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, list) else "",
)
def test_bounds_are_the_gateways_own_and_the_field_is_named(
    sluice: Sluice, webui: FakeWebUI, fields: dict[str, Any], loc: list[str]
) -> None:
    assert refused(ask(sluice, **fields)) == [["body", *loc]]
    assert webui.bodies("txt2img") == []


@pytest.mark.parametrize(
    ("script", "unit", "field"),
    [
        ("ControlNet", {"model": "../../weights"}, "model"),
        ("ControlNet", {"module": "a\nb"}, "module"),
        ("ControlNet", {"weight": 3}, "weight"),
        ("ControlNet", {"image": "http://169.254.169.254/"}, "image"),
        ("ControlNet", {"image": b64(b"no picture")}, "image"),
        ("ControlNet", {"processor_res": 100_000}, "processor_res"),
        ("ADetailer", {"ad_model": "/tmp/evil.pt"}, "ad_model"),
        ("ADetailer", {"ad_model": "C:evil.pt"}, "ad_model"),
        ("ADetailer", {"ad_model": "a.pt", "ad_use_checkpoint": True}, "ad_use_checkpoint"),
        ("ADetailer", {"ad_model": "a.pt", "ad_controlnet_model": "x"}, "ad_controlnet_model"),
    ],
)
def test_a_units_fields_are_checked_one_by_one(
    sluice: Sluice, webui: FakeWebUI, script: str, unit: dict[str, Any], field: str
) -> None:
    known = UNIT if script == "ControlNet" else {}
    sent = {script: {"args": [known | unit]}}
    where = ["body", "alwayson_scripts", script, "args", 0, field]
    assert refused(ask(sluice, alwayson_scripts=sent)) == [where]
    assert webui.bodies("txt2img") == []


def test_units_are_few(sluice: Sluice) -> None:
    sent = {"controlnet": {"args": [UNIT] * 4}}
    where = ["body", "alwayson_scripts", "controlnet", "args"]
    assert refused(ask(sluice, alwayson_scripts=sent)) == [where]


def test_a_units_unknown_fields_stay_behind(sluice: Sluice, webui: FakeWebUI) -> None:
    unit = UNIT | {"save_detected_map": True, "batch_image_dir": "/etc", "resize_mode": 2}
    assert ask(sluice, alwayson_scripts={"ControlNet": {"args": [unit]}}).status_code == 200
    (sent,) = webui.bodies("txt2img")[0]["alwayson_scripts"]["ControlNet"]["args"]
    assert sent["resize_mode"] == "Resize and Fill"
    assert sent["save_detected_map"] is False
    assert "batch_image_dir" not in sent


def test_what_is_switched_off_is_taken(sluice: Sluice, webui: FakeWebUI) -> None:
    off = {
        "animatediff": {"args": [False]},
        "reactor": {"args": []},
        "ControlNet": {"args": [UNIT | {"enabled": False}]},
        "ADetailer": {"args": [False]},
    }
    assert ask(sluice, alwayson_scripts=off).status_code == 200
    assert webui.bodies("txt2img")[0]["alwayson_scripts"] == {}


@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        ({"init_images": []}, "init_images"),
        ({"init_images": [b64(png())] * 2}, "init_images"),
        ({"init_images": ["https://example.com/a.png"]}, "init_images"),
        ({"init_images": [b64(b"no picture")]}, "init_images"),
        ({"init_images": [b64(png())], "mask": "x"}, "mask"),
        ({"init_images": [b64(png())], "mask": b64(mask(32, 32))}, "mask"),
        ({"init_images": [b64(png())], "denoising_strength": 2}, "denoising_strength"),
        ({"init_images": [b64(png())], "inpainting_fill": 4}, "inpainting_fill"),
    ],
)
def test_the_pictures_of_img2img_are_checked(
    sluice: Sluice, webui: FakeWebUI, fields: dict[str, Any], loc: str
) -> None:
    assert refused(ask(sluice, "img2img", **fields)) == [["body", loc]]
    assert webui.bodies("img2img") == []


@pytest.mark.parametrize(
    ("route", "fields", "field"),
    [
        ("extra-single-image", {"image": "http://example.com/"}, "image"),
        ("extra-single-image", {"image": b64(png()), "upscaling_resize": 100}, "upscaling_resize"),
        (
            "extra-single-image",
            {"image": b64(png()), "resize_mode": 1, "upscaling_resize_w": 10**9},
            "upscaling_resize_w",
        ),
        ("extra-single-image", {"image": b64(png()), "upscaler_1": "none such"}, "upscaler_1"),
        ("interrogate", {"image": b64(png()), "model": "/tmp/model"}, "model"),
        ("interrogate", {}, "image"),
        ("png-info", {"image": "file:///etc/passwd"}, "image"),
        ("options", {"outdir_samples": "/tmp"}, "outdir_samples"),
        ("options", {"sd_model_checkpoint": "none such"}, "sd_model_checkpoint"),
        ("options", {"sd_vae": "x"}, "sd_vae"),
    ],
)
def test_the_other_routes_are_as_strict(
    sluice: Sluice, webui: FakeWebUI, route: str, fields: dict[str, Any], field: str
) -> None:
    url = f"{sluice.url}/sdapi/v1/{route}"
    assert ["body", field] in refused(sluice.http.post(url, json=fields, timeout=60))
    assert webui.bodies(route) == []


@pytest.mark.parametrize(
    "path", ["server-stop", "unload-checkpoint", "create/embedding", "nothing", "reload-checkpoint"]
)
def test_routes_that_are_not_offered_answer_as_the_webuis_own_404(
    sluice: Sluice, webui: FakeWebUI, path: str
) -> None:
    answer = sluice.http.post(f"{sluice.url}/sdapi/v1/{path}", json={}, timeout=60)
    assert (answer.status_code, answer.json()["detail"]) == (404, "Not Found")
    assert [seen for seen in webui.seen if path in seen.path] == []


def test_another_method_answers_as_the_webuis_own_405(sluice: Sluice) -> None:
    answer = sluice.get("/sdapi/v1/txt2img")
    assert (answer.status_code, answer.json()["detail"]) == (405, "Method Not Allowed")
    assert "POST" in answer.headers["Allow"]


def test_img2img_without_a_picture_answers_as_the_webuis_own(
    sluice: Sluice, webui: FakeWebUI
) -> None:
    for nothing in ({}, {"init_images": None}):
        answer = ask(sluice, "img2img", **nothing)
        assert (answer.status_code, answer.json()["detail"]) == (404, "Init image not found")
    assert webui.bodies("img2img") == []


@pytest.mark.parametrize("route", ["txt2img", "img2img", "interrogate", "png-info", "options"])
def test_a_body_that_is_no_json_answers_as_the_webuis_own(
    sluice: Sluice, webui: FakeWebUI, route: str
) -> None:
    data = b'{"prompt": nope'
    theirs = requests.post(f"{webui.url}/sdapi/v1/txt2img", data=data, timeout=60)
    answer = sluice.http.post(f"{sluice.url}/sdapi/v1/{route}", data=data, timeout=60)
    assert answer.status_code == theirs.status_code == 422
    (problem,), (their_problem,) = answer.json()["detail"], theirs.json()["detail"]
    assert problem.pop("ctx").keys() == their_problem.pop("ctx").keys()
    assert problem == their_problem


def test_a_body_that_is_no_object_is_wrong_as_a_whole(sluice: Sluice) -> None:
    answer = sluice.http.post(f"{sluice.url}/sdapi/v1/txt2img", data=b"[1]", timeout=60)
    assert refused(answer) == [["body"]]
    assert answer.json()["error"] == "The body must be a JSON object."


def test_the_settings_of_one_caller_do_not_reach_the_next(sluice: Sluice, webui: FakeWebUI) -> None:
    own = {"CLIP_stop_at_last_layers": 2, "sd_vae": "soft.vae.pt", "sd_model_checkpoint": "tinyA"}
    assert ask(sluice, override_settings=own).status_code == 200
    assert ask(sluice).status_code == 200
    first, second = (body["override_settings"] for body in webui.bodies("txt2img"))
    assert first == own
    assert (second["CLIP_stop_at_last_layers"], second["sd_vae"]) == (1, "Automatic")


def test_no_path_of_the_webui_is_in_any_list(sluice: Sluice) -> None:
    for name in (
        *("sd-models", "samplers", "schedulers", "upscalers", "latent-upscale-modes", "loras"),
        *("embeddings", "sd-vae", "sd-modules", "hypernetworks", "face-restorers", "scripts"),
        *("realesrgan-models", "prompt-styles", "memory", "cmd-flags", "script-info", "options"),
    ):
        answer = sluice.get(f"/sdapi/v1/{name}")
        assert answer.status_code == 200, name
        assert "/opt" not in answer.text
        assert "://" not in answer.text
        assert "secret" not in answer.text
