"""The extras in the very body that is sent, and the options no caller leaves behind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ai.engines.a1111.engine import A1111Engine
from ai.engines.a1111.lists import cleaned
from ai.errors import GenerationCanceled
from ai.extras import ControlUnit, DetailUnit, Extras, HiresFix
from ai.generation import Generation
from ai.tools import CAPTION, Caption, Upscale
from tests.ai.engines.a1111.support import (
    TIMEOUT_S,
    engine_at,
    img2img,
    inpainting,
    mask,
    picture,
    txt2img,
)
from tests.fake_webui import FakeWebUI
from tests.fake_webui_tools import CAPTION as SAID
from tests.pictures import b64, opened


@pytest.fixture
def webui() -> Any:
    with FakeWebUI() as webui:
        webui.model.extensions = ("adetailer",)
        yield webui


def sent(engine: A1111Engine, webui: FakeWebUI, request: Any) -> Any:
    engine.generate(request, timeout_s=TIMEOUT_S)
    path = "txt2img" if request.kind == "txt2img" else "img2img"
    return webui.bodies(path)[-1]


def test_what_it_can_do_follows_from_its_options_and_scripts(engine: A1111Engine) -> None:
    known = {"webui", "upscale", "caption", "clip_skip", "vae", "controlnet", "adetailer"}
    assert engine.describe().skills == known


def test_sdcpp_has_no_extras() -> None:
    with FakeWebUI(flavour="sdcpp") as webui, engine_at(webui.url) as engine:
        assert engine.describe().skills == frozenset()


def test_sdcpp_makes_several_batches_as_one() -> None:
    with FakeWebUI(flavour="sdcpp") as webui, engine_at(webui.url) as engine:
        body = sent(engine, webui, txt2img(batch_size=2, extras=Extras(n_iter=2)))
    assert (body["batch_size"], body["n_iter"]) == (4, 1)


def test_a_second_pass_makes_the_larger_picture(engine: A1111Engine, webui: FakeWebUI) -> None:
    hires = HiresFix(width=96, height=128, upscaler="Latent", steps=3, prompt="sharp")
    request = txt2img(extras=Extras(hires=hires))
    made = engine.generate(request, timeout_s=TIMEOUT_S)
    assert opened(made.images[0].data).size == (96, 128)
    body = webui.bodies("txt2img")[0]
    assert body["enable_hr"] is True
    assert (body["hr_second_pass_steps"], body["hr_prompt"]) == (3, "sharp")


def test_numbers_are_sent_as_they_are(engine: A1111Engine, webui: FakeWebUI) -> None:
    extras = Extras(n_iter=2, subseed=9, subseed_strength=0.25, tiling=True, eta=0.5, s_churn=2.0)
    body = sent(engine, webui, txt2img(extras=extras))
    assert (body["n_iter"], body["subseed"], body["subseed_strength"]) == (2, 9, 0.25)
    assert (body["tiling"], body["eta"], body["s_churn"]) == (True, 0.5, 2.0)
    assert "s_noise" not in body


def test_how_a_picture_is_fitted_and_filled(engine: A1111Engine, webui: FakeWebUI) -> None:
    assert sent(engine, webui, img2img(extras=Extras(resize_mode=2)))["resize_mode"] == 2
    extras = Extras(inpainting_fill=2, inpaint_full_res_padding=8)
    body = sent(engine, webui, inpainting(extras=extras, inpaint_full_res=True))
    assert (body["inpainting_fill"], body["inpaint_full_res_padding"]) == (2, 8)


def test_units_are_built_by_us(engine: A1111Engine, webui: FakeWebUI) -> None:
    control = ControlUnit(module="canny", model="c", image=picture("red"), mask=mask())
    extras = Extras(control=(control,), details=(DetailUnit(ad_model="face.pt"),))
    scripts = sent(engine, webui, txt2img(extras=extras))["alwayson_scripts"]
    (unit,) = scripts["ControlNet"]["args"]
    assert unit["image"] == b64(picture("red").data)
    assert unit["mask"] == b64(mask().data)
    assert scripts["ADetailer"]["args"][:2] == [True, False]
    assert scripts["ADetailer"]["args"][2]["ad_model"] == "face.pt"


def test_each_request_says_every_option_as_it_stood_at_first(
    engine: A1111Engine, webui: FakeWebUI
) -> None:
    own = Extras(clip_skip=2, vae="soft.vae.pt")
    first = sent(engine, webui, txt2img(extras=own))["override_settings"]
    assert (first["CLIP_stop_at_last_layers"], first["sd_vae"]) == (2, "soft.vae.pt")
    assert webui.model.all_options()["CLIP_stop_at_last_layers"] == 2, "the WebUI leaks it"
    engine.describe()
    second = sent(engine, webui, txt2img())["override_settings"]
    assert (second["CLIP_stop_at_last_layers"], second["sd_vae"]) == (1, "Automatic")


def test_an_option_it_does_not_have_is_not_sent(webui: FakeWebUI) -> None:
    del webui.model.defaults["sd_vae"]
    with engine_at(webui.url) as engine:
        assert "vae" not in engine.describe().skills
        body = sent(engine, webui, txt2img(extras=Extras(vae="Automatic")))
    assert "sd_vae" not in body["override_settings"]


def test_enlarging_by_a_factor_or_to_a_size(engine: A1111Engine, webui: FakeWebUI) -> None:
    def size(made: Generation) -> tuple[int, int]:
        return opened(made.images[0].data).size

    by_two = Upscale(image=picture("red"), width=128, height=128, scale=2.0, upscaler_1="Lanczos")
    assert size(engine.use(by_two, timeout_s=TIMEOUT_S)) == (128, 128)
    to_size = Upscale(image=picture("red"), width=100, height=80)
    assert size(engine.use(to_size, timeout_s=TIMEOUT_S)) == (100, 80)
    assert webui.bodies("extra-single-image")[0]["upscaler_1"] == "Lanczos"


def test_a_picture_in_words(engine: A1111Engine) -> None:
    told = engine.use(Caption(image=picture("red")), timeout_s=TIMEOUT_S)
    assert told.parameters == {CAPTION: SAID}


def test_a_tool_at_work_can_be_interrupted(engine: A1111Engine, webui: FakeWebUI) -> None:
    webui.model.state.hold(at_step=1)
    with ThreadPoolExecutor(1) as threads:
        using = threads.submit(engine.use, Caption(image=picture("red")), timeout_s=TIMEOUT_S)
        webui.model.state.wait_for_step(1)
        engine.interrupt()
        with pytest.raises(GenerationCanceled):
            using.result()


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"filename": "/opt/models/a.pt"}, {"filename": "a.pt"}),
        ({"filename": "C:\\models\\a.pt"}, {"filename": "a.pt"}),
        (
            {"path": "/opt/a", "model_path": "x", "config": "y"},
            dict.fromkeys(("path", "model_path", "config")),
        ),
        ({"name": "/etc/passwd"}, {"name": None}),
        ({"name": "sub/style"}, {"name": "sub/style"}),
        ({"url": "https://user:secret@host/"}, {"url": None}),
        ([["a"], 1, True, None], [["a"], 1, True, None]),
        ({"x": "y" * 1000}, {"x": None}),
        ("a\x1b[0m", None),
    ],
)
def test_lists_are_shown_without_paths(told: object, shown: object) -> None:
    assert cleaned(told) == shown
