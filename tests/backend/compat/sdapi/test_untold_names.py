"""A WebUI that does not tell its VAEs and upscalers: no name goes through unchecked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.backend.compat.sdapi.test_policy import ask, refused
from tests.fake_webui import FakeWebUI
from tests.pictures import b64, png
from tests.running import Sluice, running_sluice

HIRES = {"enable_hr": True, "hr_scale": 2, "denoising_strength": 0.5}


@pytest.fixture(scope="module")
def silent() -> Iterator[FakeWebUI]:
    with FakeWebUI() as webui:
        webui.routes.missing |= {"sd-vae", "upscalers", "latent-upscale-modes"}
        yield webui


@pytest.fixture(scope="module")
def sluice(silent: FakeWebUI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    env = {"SD_WEBUI_URL": silent.url, "CPU_FALLBACK": "false", "RATELIMIT_ENABLED": "false"}
    with running_sluice(tmp_path_factory.mktemp("silent"), env) as sluice:
        yield sluice


@pytest.mark.parametrize(
    ("route", "fields", "loc"),
    [
        (
            "txt2img",
            {"override_settings": {"sd_vae": "../../x"}},
            ["override_settings", "sd_vae"],
        ),
        ("txt2img", HIRES | {"hr_upscaler": "../none such"}, ["hr_upscaler"]),
        ("extra-single-image", {"image": b64(png()), "upscaler_1": "../x"}, ["upscaler_1"]),
        ("extra-single-image", {"image": b64(png()), "upscaler_2": "../x"}, ["upscaler_2"]),
    ],
)
def test_a_name_that_nobody_told_of_is_refused(
    sluice: Sluice, silent: FakeWebUI, route: str, fields: dict[str, Any], loc: list[str]
) -> None:
    silent.seen.clear()
    assert refused(ask(sluice, route, **fields)) == [["body", *loc]]
    assert silent.bodies(route) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"override_settings": {"sd_vae": "None"}},
        {"override_settings": {"sd_vae": "Automatic"}},
        HIRES,
        HIRES | {"hr_upscaler": "Lanczos"},
    ],
)
def test_what_every_webui_has_is_taken(sluice: Sluice, fields: dict[str, Any]) -> None:
    assert ask(sluice, **fields).status_code == 200
