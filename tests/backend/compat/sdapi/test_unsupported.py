"""What no engine does is refused at the field that asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fake_webui import FakeWebUI
from tests.pictures import b64, png
from tests.running import Sluice, running_sluice

PICTURE = {"image": b64(png())}
DETAIL = {"ADetailer": {"args": [{"ad_model": "face_yolov8n.pt"}]}}
CONTROL = {"controlnet": {"args": [{"module": "canny", "model": "canny [1]"}]}}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    """Before an engine that makes pictures and can do nothing else."""
    with FakeWebUI(flavour="sdcpp") as webui:
        env = {"SD_WEBUI_URL": webui.url, "CPU_FALLBACK": "false", "RATELIMIT_ENABLED": "false"}
        with running_sluice(tmp_path_factory.mktemp("plain"), env) as sluice:
            yield sluice


def test_lists_of_a_controlnet_that_nobody_has_are_empty(plain: Sluice) -> None:
    assert plain.get("/controlnet/model_list").json() == {"model_list": []}
    assert plain.get("/controlnet/module_list").json() == {"module_list": []}
    for path in ("version", "detect"):
        answer = plain.get(f"/controlnet/{path}")
        assert (answer.status_code, answer.json()["detail"]) == (404, "Not Found")


@pytest.mark.parametrize(
    ("route", "fields", "loc"),
    [
        ("txt2img", {"tiling": True}, ["tiling"]),
        ("txt2img", {"subseed_strength": 0.5}, ["subseed_strength"]),
        ("txt2img", {"enable_hr": True}, ["enable_hr"]),
        ("img2img", {"init_images": [b64(png())], "resize_mode": 2}, ["resize_mode"]),
        ("txt2img", {"override_settings": {"sd_vae": "None"}}, ["override_settings", "sd_vae"]),
        (
            "txt2img",
            {"override_settings": {"CLIP_stop_at_last_layers": 2}},
            ["override_settings", "CLIP_stop_at_last_layers"],
        ),
        ("txt2img", {"alwayson_scripts": DETAIL}, ["alwayson_scripts"]),
        ("txt2img", {"alwayson_scripts": CONTROL}, ["alwayson_scripts"]),
        ("extra-single-image", PICTURE, []),
        ("interrogate", PICTURE, []),
    ],
)
def test_what_nobody_does_is_told_at_its_field(
    plain: Sluice, route: str, fields: dict[str, Any], loc: list[str]
) -> None:
    body = {"prompt": "a cat", "width": 64, "height": 64, "steps": 2} | fields
    answer = plain.http.post(f"{plain.url}/sdapi/v1/{route}", json=body, timeout=60)
    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert problem["loc"] == ["body", *loc]
    assert "no engine here does" in problem["msg"]
