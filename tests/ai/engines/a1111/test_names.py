"""Checkpoints, samplers and schedulers: by which names the WebUI's engine asks for them."""

from __future__ import annotations

import pytest
import requests_mock

from ai.engines.a1111.engine import A1111Engine
from ai.engines.base import Checkpoint
from ai.errors import (
    EngineUnavailable,
    UnknownCheckpoint,
    UnknownSampler,
    UnknownScheduler,
    WrongCheckpoint,
)
from tests.ai.engines.a1111.support import (
    API,
    TIMEOUT_S,
    URL,
    engine_at,
    good_answer,
    mock_lists,
    txt2img,
)
from tests.fake_webui import TINY_A, TINY_B, FakeCheckpoint, FakeWebUI

# Checkpoints.


@pytest.mark.parametrize(
    "asked", ["tinyB", "tinyB.safetensors", "tinyB.safetensors [054c987e49]", "054c987e49"]
)
def test_a_checkpoint_is_asked_for_by_its_lasting_name(
    webui: FakeWebUI, engine: A1111Engine, asked: str
) -> None:
    made = engine.generate(txt2img(checkpoint=asked), timeout_s=TIMEOUT_S)
    assert (made.checkpoint, made.checkpoint_hash) == ("tinyB", "054c987e49")
    assert webui.bodies("txt2img")[0]["override_settings"] == {
        "sd_model_checkpoint": "tinyB",
        "CLIP_stop_at_last_layers": 1,
        "sd_vae": "Automatic",
    }
    assert webui.model.options["sd_model_checkpoint"] == TINY_A.title


def test_the_checkpoint_left_in_memory_is_told_as_loaded(
    webui: FakeWebUI, engine: A1111Engine
) -> None:
    engine.generate(txt2img(checkpoint="tinyB"), timeout_s=TIMEOUT_S)
    assert engine.describe().loaded == webui.model.in_memory.name == "tinyB"


def test_what_is_loaded_is_asked_anew_after_the_webui_was_gone(
    webui: FakeWebUI, engine: A1111Engine
) -> None:
    engine.generate(txt2img(checkpoint="tinyB"), timeout_s=TIMEOUT_S)
    webui.stop()
    with pytest.raises(EngineUnavailable):
        engine.generate(txt2img(), timeout_s=TIMEOUT_S)
    webui.start()
    assert engine.describe().loaded == "tinyA"


def test_a_checkpoint_whose_hash_is_not_known_yet_is_recognised_by_name() -> None:
    unseen = FakeCheckpoint("tinyB", TINY_B.sha256, hash_known=False)
    with FakeWebUI(checkpoints=(TINY_A, unseen)) as webui, engine_at(webui.url) as engine:
        assert engine.describe().checkpoints[1] == Checkpoint("tinyB", "tinyB.safetensors")
        made = engine.generate(txt2img(checkpoint="tinyB"), timeout_s=TIMEOUT_S)
        assert (made.checkpoint, made.checkpoint_hash) == ("tinyB", "054c987e49")


def test_a_checkpoint_it_lacks_is_not_sent_at_all(webui: FakeWebUI, engine: A1111Engine) -> None:
    with pytest.raises(UnknownCheckpoint) as caught:
        engine.generate(txt2img(checkpoint="nope"), timeout_s=TIMEOUT_S)
    assert caught.value.available == ("tinyA", "tinyB")
    assert webui.bodies("txt2img") == []


def test_a_checkpoint_taken_away_since_is_noticed_though_the_webui_says_200(
    webui: FakeWebUI, engine: A1111Engine
) -> None:
    engine.describe()
    webui.model.checkpoints.remove(TINY_B)
    with pytest.raises(WrongCheckpoint, match="'tinyA' for 'tinyB'"):
        engine.generate(txt2img(checkpoint="tinyB"), timeout_s=TIMEOUT_S)


@pytest.mark.parametrize(
    ("title", "used"),
    [
        ("sdxl/base_1.0.safetensors [31e35c80fc]", {"sd_model_name": "base_1.0"}),
        ("sdxl\\base_1.0.safetensors", {"sd_model_name": "base_1.0", "sd_model_hash": "31e35"}),
        ("base_1.0.gguf", {"sd_model_name": "base_1.0.gguf"}),
        ("renamed.safetensors", {"sd_model_name": "copy", "sd_model_hash": "31e35c80fc"}),
    ],
)
def test_a_checkpoint_is_recognised_by_hash_or_with_and_without_folder_and_ending(
    title: str, used: dict[str, str]
) -> None:
    row = {"title": title, "model_name": "sdxl_base_1.0", "hash": used.get("sd_model_hash")}
    with requests_mock.Mocker() as mock, engine_at(URL) as engine:
        mock_lists(mock)
        mock.get(f"{API}/sd-models", json=[row])
        mock.post(f"{API}/txt2img", json=good_answer(**{"sd_model_hash": None} | used))
        made = engine.generate(txt2img(checkpoint="sdxl_base_1.0"), timeout_s=TIMEOUT_S)
    assert made.checkpoint == "sdxl_base_1.0"


# Samplers and schedulers.


@pytest.mark.parametrize("asked", ["Euler a", "euler A", "k_euler_a", "K_EULER_ANCESTRAL"])
def test_a_sampler_is_sent_by_the_name_the_webui_knows(
    webui: FakeWebUI, engine: A1111Engine, asked: str
) -> None:
    made = engine.generate(txt2img(sampler_name=asked), timeout_s=TIMEOUT_S)
    assert made.parameters["sampler_name"] == "Euler a"
    assert webui.bodies("txt2img")[0]["sampler_name"] == "Euler a"


def test_a_sampler_it_lacks_is_not_sent_at_all(webui: FakeWebUI, engine: A1111Engine) -> None:
    with pytest.raises(UnknownSampler) as caught:
        engine.generate(txt2img(sampler_name="Nope"), timeout_s=TIMEOUT_S)
    assert "Euler a" in caught.value.available
    assert webui.bodies("txt2img") == []


def test_the_nearest_sampler_stands_in_when_that_is_allowed(
    webui: FakeWebUI, engine: A1111Engine
) -> None:
    asked = txt2img(sampler_name="DPM++ 2S a CFG++", scheduler="Exotic")
    made = engine.generate(asked, timeout_s=TIMEOUT_S, stand_in=True)
    assert made.degraded == ("sampler", "scheduler")
    assert made.parameters["sampler_name"] == "Euler a"
    assert webui.bodies("txt2img")[0]["scheduler"] == "Automatic"


def test_names_of_older_webuis_that_hold_the_scheduler_are_understood(
    webui: FakeWebUI, engine: A1111Engine
) -> None:
    made = engine.generate(txt2img(sampler_name="dpm++ SDE karras"), timeout_s=TIMEOUT_S)
    body = webui.bodies("txt2img")[0]
    assert (body["sampler_name"], body["scheduler"]) == ("DPM++ SDE", "Karras")
    assert made.parameters["scheduler"] == "Karras"
    assert made.degraded == ()


@pytest.mark.parametrize("asked", ["SGM Uniform", "sgm_uniform", "SGMUniform", "sgmuniform"])
def test_a_scheduler_is_sent_by_its_label(
    webui: FakeWebUI, engine: A1111Engine, asked: str
) -> None:
    engine.generate(txt2img(scheduler=asked), timeout_s=TIMEOUT_S)
    assert webui.bodies("txt2img")[0]["scheduler"] == "SGM Uniform"


def test_a_scheduler_it_lacks_is_not_sent_at_all(webui: FakeWebUI, engine: A1111Engine) -> None:
    with pytest.raises(UnknownScheduler) as caught:
        engine.generate(txt2img(scheduler="Exotic"), timeout_s=TIMEOUT_S)
    assert "Karras" in caught.value.available
    assert webui.bodies("txt2img") == []


def test_a_webui_without_schedulers_takes_only_the_automatic_one() -> None:
    with requests_mock.Mocker() as mock, engine_at(URL) as engine:
        mock_lists(mock)
        mock.get(f"{API}/schedulers", status_code=404, json={"detail": "Not Found"})
        mock.post(f"{API}/txt2img", json=good_answer())
        assert engine.describe().schedulers == ()
        assert engine.generate(txt2img(scheduler="automatic"), timeout_s=TIMEOUT_S).images
        with pytest.raises(UnknownScheduler):
            engine.generate(txt2img(scheduler="Karras"), timeout_s=TIMEOUT_S)
