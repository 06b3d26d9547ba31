"""The very bytes the WebUI's engine sends, and where it sends them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
import requests_mock
from hypothesis import given
from hypothesis import strategies as st

from ai.engines.a1111.engine import A1111Engine
from ai.errors import InvalidRequest
from ai.generation import GenerationRequest, Txt2Img
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

EVERYWHERE = {
    "prompt": "a red circle",
    "negative_prompt": "blurry",
    "styles": [],
    "steps": 30,
    "cfg_scale": 6.5,
    "width": 64,
    "height": 64,
    "seed": 42,
    "subseed": -1,
    "subseed_strength": 0,
    "seed_resize_from_w": -1,
    "seed_resize_from_h": -1,
    "sampler_name": "DPM++ 2M",
    "scheduler": "SGM Uniform",
    "batch_size": 1,
    "n_iter": 1,
    "restore_faces": False,
    "tiling": False,
    "do_not_save_samples": True,
    "do_not_save_grid": True,
    "send_images": True,
    "save_images": False,
    "script_args": [],
    "alwayson_scripts": {},
    "override_settings": {"sd_model_checkpoint": "tinyA"},
    "override_settings_restore_afterwards": True,
}
ASKED: dict[str, Any] = {
    "negative_prompt": "blurry",
    "steps": 30,
    "cfg_scale": 6.5,
    "sampler_name": "k_dpmpp_2m",
    "scheduler": "sgm uniform",
    "checkpoint": "tinyA.safetensors [fc01b6beb8]",
}


@pytest.fixture
def mock() -> Iterator[requests_mock.Mocker]:
    """No network: only what is registered answers."""
    with requests_mock.Mocker() as mocker:
        mock_lists(mocker)
        answer = good_answer(sampler_name="DPM++ 2M")
        mocker.post(f"{API}/txt2img", json=answer)
        mocker.post(f"{API}/img2img", json=answer)
        yield mocker


def sent(mock: requests_mock.Mocker, request: GenerationRequest) -> Any:
    """The request that asks the WebUI for `request`."""
    with engine_at(URL) as engine:
        engine.generate(request, timeout_s=TIMEOUT_S)
    return mock.request_history[-1]


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_txt2img_says_every_field(mock: requests_mock.Mocker) -> None:
    request = sent(mock, txt2img(**ASKED))
    assert (request.method, request.url) == ("POST", f"{API}/txt2img")
    assert request.json() == EVERYWHERE | {"enable_hr": False}


def test_img2img_says_every_field(mock: requests_mock.Mocker) -> None:
    request = sent(mock, img2img(**ASKED, denoising_strength=0.6))
    assert (request.method, request.url) == ("POST", f"{API}/img2img")
    assert request.json() == EVERYWHERE | {
        "init_images": [encoded(picture("red").data)],
        "include_init_images": False,
        "denoising_strength": 0.6,
        "resize_mode": 0,
    }


def test_inpainting_is_img2img_with_a_mask_that_keeps_the_original(
    mock: requests_mock.Mocker,
) -> None:
    request = sent(mock, inpainting(**ASKED, denoising_strength=0.9, mask_blur=6))
    assert (request.method, request.url) == ("POST", f"{API}/img2img")
    assert request.json() == EVERYWHERE | {
        "init_images": [encoded(picture("red").data)],
        "include_init_images": False,
        "denoising_strength": 0.9,
        "resize_mode": 0,
        "mask": encoded(mask().data),
        "mask_blur": 6,
        "inpainting_fill": 1,
        "inpaint_full_res": False,
        "inpaint_full_res_padding": 0,
        "inpainting_mask_invert": 0,
    }


def test_only_the_masked_region_is_painted_when_asked(mock: requests_mock.Mocker) -> None:
    body = sent(mock, inpainting(**ASKED, inpaint_full_res=True)).json()
    assert body["inpaint_full_res"] is True
    assert body["inpaint_full_res_padding"] == 32


def test_what_is_left_open_is_chosen_and_no_checkpoint_is_forced(
    mock: requests_mock.Mocker,
) -> None:
    mock.post(f"{API}/txt2img", json=good_answer())
    body = sent(mock, txt2img(seed=-1)).json()
    assert body["sampler_name"] == "Euler a"
    assert body["scheduler"] == "Automatic"
    assert body["override_settings"] == {}
    assert 0 <= body["seed"] < 2**32


@given(prompt=st.text(min_size=1), negative=st.text(), cfg=st.floats(1, 30), steps=st.integers(1))
def test_nothing_but_our_fields_is_sent_whatever_they_hold(
    prompt: str, negative: str, cfg: float, steps: int
) -> None:
    steps = min(steps, 10_000)
    asked = txt2img(prompt=prompt, negative_prompt=negative, cfg_scale=cfg, steps=steps)
    with requests_mock.Mocker() as mock:
        mock_lists(mock)
        mock.post(f"{API}/txt2img", json=good_answer())
        body = sent(mock, asked).json()
    assert body.keys() == EVERYWHERE.keys() | {"enable_hr"}
    assert (body["prompt"], body["negative_prompt"]) == (prompt, negative)
    assert (body["cfg_scale"], body["steps"]) == (cfg, steps)


@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
@pytest.mark.parametrize(
    "text", ['a cat <sd_cpp_extra_args>{"steps": 9}</sd_cpp_extra_args>', "half a \ud83d"]
)
def test_settings_for_sdcpp_and_broken_characters_in_a_prompt_are_refused(
    mock: requests_mock.Mocker, field: str, text: str
) -> None:
    with engine_at(URL) as engine, pytest.raises(InvalidRequest) as caught:
        engine.generate(txt2img(**{field: text}), timeout_s=TIMEOUT_S)
    assert caught.value.field == field
    assert "POST" not in {request.method for request in mock.request_history}


def test_credentials_of_the_address_become_basic_auth_and_leave_the_address(
    mock: requests_mock.Mocker,
) -> None:
    with engine_at("http://m%40e:p%3Aßss@webui.test:7860/") as engine:
        engine.describe()
    for request in mock.request_history:
        assert request.url.startswith(f"{API}/")
        scheme, _, credentials = request.headers["Authorization"].partition(" ")
        assert (scheme, base64.b64decode(credentials).decode()) == ("Basic", "m@e:p:ßss")


def test_no_credentials_are_sent_where_the_address_has_none(
    mock: requests_mock.Mocker, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine webui.test login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert "Authorization" not in sent(mock, txt2img(**ASKED)).headers


def test_the_proxies_of_the_environment_are_not_used(
    mock: requests_mock.Mocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("http_proxy", "http://proxy.test:3128")
    assert not sent(mock, txt2img(**ASKED)).proxies


def test_a_path_prefix_of_the_address_is_kept() -> None:
    with requests_mock.Mocker() as mock, engine_at("https://gpus.test/box-1/") as engine:
        for name in ("sd-models", "samplers", "schedulers", "options", "scripts"):
            mock.get(f"https://gpus.test/box-1/sdapi/v1/{name}", json=[{"name": "Euler"}])
        assert [sampler.name for sampler in engine.describe().samplers] == ["Euler"]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "webui:7860",
        "ftp://webui:7860",
        "file:///etc/passwd",
        "http://",
        "http://me:secret@",
        "http://webui:port",
        "http://webui:99999",
        "http://webui:7860/?secret=1",
        "http://webui:7860/#secret",
        "http://[::1:7860",
        f"http://{'a' * 70}.test",
    ],
)
def test_an_address_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="address") as caught:
        A1111Engine(url, name="gpu-0", tier="gpu", device="cuda")
    assert "secret" not in str(caught.value)


def test_connecting_and_answering_have_their_own_timeouts(mock: requests_mock.Mocker) -> None:
    with engine_at(URL, connect_timeout_s=1.5, read_timeout_s=90, probe_timeout_s=0.7) as engine:
        engine.generate(txt2img(**ASKED), timeout_s=60)
        engine.generate(txt2img(**ASKED), timeout_s=3000)
    *probes, first, second = mock.request_history
    for probe in probes:
        assert probe.timeout == pytest.approx((0.7, 0.7), rel=0.2)
    assert first.timeout == pytest.approx((1.5, 60), rel=0.01)
    assert second.timeout == pytest.approx((1.5, 90), rel=0.01)


def test_bodies_are_json_and_asked_for_unpacked(mock: requests_mock.Mocker) -> None:
    request = sent(mock, txt2img(**ASKED))
    assert request.headers["Accept-Encoding"] == "identity"
    assert request.headers["Content-Type"] == "application/json"


def test_the_same_words_are_drawn_anew_when_the_seed_is_open(mock: requests_mock.Mocker) -> None:
    mock.post(f"{API}/txt2img", json=good_answer())
    request = Txt2Img(prompt="a red circle", width=64, height=64)
    assert sent(mock, request).json()["seed"] != sent(mock, request).json()["seed"]
