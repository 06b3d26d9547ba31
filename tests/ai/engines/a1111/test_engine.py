"""The WebUI's engine against a WebUI: what it makes, what it believes, what it leaves out."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import requests_mock
from PIL import Image

from ai.engines.a1111.engine import A1111Engine
from ai.engines.base import Checkpoint, Engine
from ai.errors import (
    EngineMadeNan,
    UnknownCheckpoint,
    WrongCheckpoint,
    WrongResult,
)
from ai.generation import GenerationRequest
from tests.ai.engines.a1111.support import (
    API,
    TIMEOUT_S,
    URL,
    engine_at,
    good_answer,
    img2img,
    inpainting,
    mask,
    mock_lists,
    picture,
    txt2img,
)
from tests.fake_webui import FakeWebUI, Fault
from tests.fake_webui_wire import recorded


def pixels(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(Image.open(BytesIO(data)))


def test_it_is_an_engine(engine: A1111Engine) -> None:
    as_engine: Engine = engine
    assert (as_engine.name, as_engine.tier, as_engine.device) == ("gpu-0", "gpu", "cuda")
    assert as_engine.concurrency == 1


def test_it_describes_what_the_webui_has(engine: A1111Engine) -> None:
    facts = engine.describe()
    assert facts.checkpoints == (
        Checkpoint("tinyA", "tinyA.safetensors [fc01b6beb8]", "fc01b6beb8"),
        Checkpoint("tinyB", "tinyB.safetensors [054c987e49]", "054c987e49"),
    )
    assert facts.loaded == "tinyA"
    assert len(facts.samplers) == 25
    assert facts.samplers[6].aliases == ("k_euler_a", "k_euler_ancestral")
    assert facts.schedulers[:3] == ("Automatic", "Uniform", "Karras")


@pytest.mark.parametrize("request_", [txt2img(), img2img(), inpainting()], ids=lambda r: r.kind)
def test_each_kind_is_made(engine: A1111Engine, request_: GenerationRequest) -> None:
    made = engine.generate(request_, timeout_s=TIMEOUT_S)
    image = made.images[0]
    assert (image.media_type, image.width, image.height, image.seed) == ("image/png", 64, 64, 42)
    assert b"tEXtparameters\0a red circle\nSteps: 2, Sampler: Euler a" in image.data
    assert (made.checkpoint, made.checkpoint_hash) == ("tinyA", "fc01b6beb8")
    assert made.degraded == ()


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_a_picture_is_passed_on_as_the_very_bytes_and_base64_that_came(prefix: str) -> None:
    answer = good_answer()
    sent = answer["images"][0]
    with requests_mock.Mocker() as mock, engine_at(URL) as engine:
        mock_lists(mock)
        mock.post(f"{API}/txt2img", json=answer | {"images": [prefix + sent]})
        image = engine.generate(txt2img(), timeout_s=TIMEOUT_S).images[0]
    assert image.encoded == image.base64 == sent.encode()
    assert image.data == base64.b64decode(sent)


def test_inpainting_leaves_alone_what_is_not_masked(engine: A1111Engine) -> None:
    made = engine.generate(inpainting(mask_blur=0), timeout_s=TIMEOUT_S).images[0]
    kept = pixels(mask().data) == 0
    assert np.array_equal(pixels(made.data)[kept], pixels(picture("red").data)[kept])
    assert not np.array_equal(pixels(made.data)[~kept], pixels(picture("red").data)[~kept])


def test_the_parameters_say_what_was_really_used(engine: A1111Engine) -> None:
    asked = inpainting(sampler_name="k_dpmpp_2m", denoising_strength=0.5, negative_prompt="dull")
    assert engine.generate(asked, timeout_s=TIMEOUT_S).parameters == {
        "prompt": "a red circle",
        "negative_prompt": "dull",
        "steps": 2,
        "cfg_scale": 7.5,
        "width": 64,
        "height": 64,
        "seed": 42,
        "sampler_name": "DPM++ 2M",
        "scheduler": "Karras",
        "batch_size": 1,
        "denoising_strength": 0.5,
        "mask_blur": 4,
        "inpaint_full_res": False,
    }


def test_a_batch_has_seeds_in_a_row(engine: A1111Engine) -> None:
    made = engine.generate(txt2img(batch_size=3), timeout_s=TIMEOUT_S)
    assert [image.seed for image in made.images] == [42, 43, 44]
    assert len({image.data for image in made.images}) == 3


def test_a_drawn_seed_is_told_and_makes_the_same_picture_again(engine: A1111Engine) -> None:
    drawn = engine.generate(txt2img(seed=-1), timeout_s=TIMEOUT_S).images[0]
    again = engine.generate(txt2img(seed=drawn.seed), timeout_s=TIMEOUT_S).images[0]
    assert again.data == drawn.data


@pytest.mark.parametrize(("samples_format", "media_type"), [("jpeg", "jpeg"), ("webp", "webp")])
def test_whatever_file_format_is_set_there_is_passed_on(
    webui: FakeWebUI, engine: A1111Engine, samples_format: str, media_type: str
) -> None:
    webui.model.options["samples_format"] = samples_format
    image = engine.generate(txt2img(), timeout_s=TIMEOUT_S).images[0]
    assert image.media_type == f"image/{media_type}"
    assert pixels(image.data).shape == (64, 64, 3)


@pytest.mark.parametrize("fault", [Fault.GRID_FIRST, Fault.DETECTION_MAPS])
def test_grids_and_detection_maps_are_left_out(
    webui: FakeWebUI, engine: A1111Engine, fault: Fault
) -> None:
    plain = engine.generate(txt2img(batch_size=2), timeout_s=TIMEOUT_S)
    webui.inject(fault)
    assert engine.generate(txt2img(batch_size=2), timeout_s=TIMEOUT_S).images == plain.images


# 200 with something else than asked.

WRONG = {
    Fault.WRONG_CHECKPOINT: (WrongCheckpoint, "used checkpoint another for 'tinyA'"),
    Fault.WRONG_SAMPLER: (WrongResult, "another sampler than 'Euler a'"),
    Fault.WRONG_SIZE: (WrongResult, "24x40 pixels of the 64x64"),
    Fault.TOO_FEW_IMAGES: (WrongResult, "0 of 1 pictures"),
    Fault.TOO_FEW_SEEDS: (WrongResult, "0 seeds for 1"),
    Fault.TRUNCATED_PNG: (WrongResult, "broken picture"),
    Fault.NOT_A_PICTURE: (WrongResult, "broken picture"),
    Fault.BAD_BASE64: (WrongResult, "broken picture"),
    Fault.NO_IMAGES_KEY: (WrongResult, "without pictures"),
    Fault.NO_INFO_KEY: (WrongResult, "did not say how"),
    Fault.INFO_NOT_JSON: (WrongResult, "details that cannot be read"),
    Fault.NAN_IN_INFO: (EngineMadeNan, "overflowed"),
    Fault.NOT_JSON: (WrongResult, "answer that cannot be read"),
    Fault.HUGE_ANSWER: (WrongResult, "too many bytes"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_200_that_is_not_what_was_asked_is_an_error(webui: FakeWebUI, fault: Fault) -> None:
    error, message = WRONG[fault]
    webui.inject(fault)
    with engine_at(webui.url, max_answer_bytes=2**20) as engine:
        with pytest.raises(error, match=message) as caught:
            engine.generate(txt2img(checkpoint="tinyA"), timeout_s=TIMEOUT_S)
        assert type(caught.value) is error
        assert caught.value.engine == "gpu-0"
        assert engine.generate(txt2img(), timeout_s=TIMEOUT_S).images


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"all_seeds": [True]}, "which seeds"),
        ({"all_seeds": [-1]}, "which seeds"),
        ({"all_seeds": [42.0]}, "which seeds"),
        ({"all_seeds": 42}, "which seeds"),
        ({"index_of_first_image": True}, "without pictures"),
        ({"index_of_first_image": -1}, "without pictures"),
        ({"index_of_first_image": 1}, "0 of 1 pictures"),
    ],
)
def test_details_that_make_no_sense_are_not_believed(info: dict[str, Any], message: str) -> None:
    with requests_mock.Mocker() as mock, engine_at(URL) as engine:
        mock_lists(mock)
        mock.post(f"{API}/txt2img", json=good_answer(**info))
        with pytest.raises(WrongResult, match=message):
            engine.generate(txt2img(), timeout_s=TIMEOUT_S)


def test_base64_that_a_strict_reader_would_not_take_is_not_passed_on() -> None:
    answer = good_answer()
    encoded = answer["images"][0]
    with requests_mock.Mocker() as mock, engine_at(URL) as engine:
        mock_lists(mock)
        mock.post(f"{API}/txt2img", json=answer | {"images": [encoded[:76] + "\n" + encoded[76:]]})
        with pytest.raises(WrongResult, match="broken picture"):
            engine.generate(txt2img(), timeout_s=TIMEOUT_S)


def test_a_region_painted_alone_comes_back_in_the_size_of_the_original() -> None:
    asked = {"width": 128, "height": 128, "denoising_strength": 0.9}
    with requests_mock.Mocker() as mock, engine_at(URL) as engine:
        mock_lists(mock)
        mock.post(f"{API}/img2img", json=good_answer())
        region = inpainting(**asked, inpaint_full_res=True)
        image = engine.generate(region, timeout_s=TIMEOUT_S).images[0]
        assert (image.width, image.height) == (64, 64)
        with pytest.raises(WrongResult, match="64x64 pixels of the 128x128"):
            engine.generate(inpainting(**asked), timeout_s=TIMEOUT_S)


@pytest.mark.parametrize(("asked", "made_with"), [("tinyA", "tinyA"), (None, "tinyA")])
def test_a_webui_that_tells_the_hash_alone_is_believed(asked: str | None, made_with: str) -> None:
    info = json.loads(good_answer()["info"])
    del info["sd_model_name"]
    with requests_mock.Mocker() as mock, engine_at(URL) as engine:
        mock_lists(mock)
        mock.post(f"{API}/txt2img", json=good_answer() | {"info": json.dumps(info)})
        made = engine.generate(txt2img(checkpoint=asked), timeout_s=TIMEOUT_S)
        assert (made.checkpoint, made.checkpoint_hash) == (made_with, "fc01b6beb8")
        assert "unverified" not in made.parameters
        with pytest.raises(WrongCheckpoint):
            engine.generate(txt2img(checkpoint="tinyB"), timeout_s=TIMEOUT_S)


# stable-diffusion.cpp.


@pytest.fixture
def sdcpp() -> Iterator[FakeWebUI]:
    with FakeWebUI(flavour="sdcpp") as running:
        yield running


def test_sdcpp_describes_its_one_checkpoint_and_samplers_by_the_webuis_names(
    sdcpp: FakeWebUI,
) -> None:
    with engine_at(sdcpp.url) as engine:
        facts = engine.describe()
    assert facts.checkpoints == (Checkpoint("tinyA", "tinyA", None),)
    assert facts.loaded == "tinyA"
    assert [s.name for s in facts.samplers[:4]] == ["default", "Euler", "Euler a", "Heun"]
    assert "karras" in facts.schedulers


@pytest.mark.parametrize("request_", [txt2img(), img2img(), inpainting()], ids=lambda r: r.kind)
def test_sdcpp_makes_pictures_though_its_info_is_empty(
    sdcpp: FakeWebUI, request_: GenerationRequest
) -> None:
    with engine_at(sdcpp.url) as engine:
        made = engine.generate(request_, timeout_s=TIMEOUT_S)
    assert [image.seed for image in made.images] == [42]
    assert made.checkpoint == "tinyA"
    assert made.parameters["sampler_name"] == "Euler a"
    assert made.parameters["unverified"] == ["sampler_name", "checkpoint"]


def test_sdcpp_is_asked_in_its_own_words_and_never_told_a_checkpoint(sdcpp: FakeWebUI) -> None:
    asked = txt2img(sampler_name="DPM++ 2M", scheduler="Karras", checkpoint="tinyA", batch_size=2)
    with engine_at(sdcpp.url) as engine:
        made = engine.generate(asked, timeout_s=TIMEOUT_S)
        with pytest.raises(UnknownCheckpoint):
            engine.generate(txt2img(checkpoint="8888888888"), timeout_s=TIMEOUT_S)
    body = sdcpp.bodies("txt2img")[0]
    assert (body["sampler_name"], body["scheduler"]) == ("dpm++2m", "karras")
    assert body["override_settings"] == {}
    assert [image.seed for image in made.images] == [42, 43]


def test_a_newer_sdcpp_that_does_fill_info_is_read() -> None:
    info = {
        "seed": 42,
        "all_seeds": [42],
        "sampler_name": "euler_a",
        "sd_model_name": "tiny.gguf",
        "version": "stable-diffusion.cpp",
    }
    answer = {"images": recorded("txt2img")["images"], "info": json.dumps(info)}
    hashes = {"hash": "8888888888", "sha256": "8" * 64}
    with requests_mock.Mocker() as mock, engine_at(URL) as engine:
        mock_lists(mock)
        mock.get(f"{API}/sd-models", json=[{"model_name": "tiny", "title": "tiny"} | hashes])
        mock.get(f"{API}/samplers", json=[{"name": "euler_a", "aliases": ["euler_a"]}])
        mock.post(f"{API}/txt2img", json=answer)
        made = engine.generate(txt2img(checkpoint="tiny"), timeout_s=TIMEOUT_S)
    assert (made.checkpoint, made.checkpoint_hash) == ("tiny", None)
    assert "unverified" not in made.parameters
