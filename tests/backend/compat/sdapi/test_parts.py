"""Remembered choices, the text in pictures, and lists asked for now and then."""

from __future__ import annotations

import json
from contextlib import suppress
from io import BytesIO
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from ai.engines.infotext import infotext
from ai.errors import InvalidImage
from ai.extras import Extras
from ai.generation import GeneratedImage, Generation, Txt2Img
from ai.pool import EnginePool, Outcome
from backend.compat.sdapi.choices import ChosenCheckpoints
from backend.compat.sdapi.facts import FRESH_S, Facts
from backend.compat.sdapi.picture_text import MAX_TEXTS, fields_of, texts_of
from backend.compat.sdapi.render import generation_answer
from backend.errors import InvalidBody
from backend.jobs.live import GenerationResult, MadeImage
from tests.fake_webui_wire import recorded
from tests.pictures import png


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_choice_is_kept_as_long_as_its_caller_comes_back() -> None:
    clock = Clock()
    chosen = ChosenCheckpoints(kept_s=10, clock=clock)
    chosen.choose("me", "x")
    for clock.now in (9.0, 18.0):
        assert chosen.of("me") == "x"
    clock.now = 28.0
    assert chosen.of("me") is None
    assert chosen.of("other") is None


def test_those_not_seen_for_longest_are_forgotten_first() -> None:
    chosen = ChosenCheckpoints(most=2)
    for caller in ("a", "b"):
        chosen.choose(caller, caller)
    chosen.of("a")
    chosen.choose("c", "c")
    assert [chosen.of(caller) for caller in ("a", "b", "c")] == ["a", None, "c"]


def saved(kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_the_text_in_exif_is_read_as_the_webui_writes_it(kind: str) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + "a café".encode("utf-16-be")
    assert texts_of(saved(kind, exif=exif), "image")["parameters"] == "a café"


def test_a_picture_without_text_has_none() -> None:
    assert "parameters" not in texts_of(png(), "image")


def test_no_pixel_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("decoded"))
    assert texts_of(png(), "image") == {}


@pytest.mark.parametrize("data", [b"", b"no picture", png()[:20]])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidImage):
        texts_of(data, "image")


@given(data=st.binary(max_size=200))
def test_bytes_after_a_signature_do_no_harm(data: bytes) -> None:
    for start in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"):
        with suppress(InvalidImage):
            assert len(texts_of(start + data, "image")) <= MAX_TEXTS


def test_the_fields_of_a_text_are_told_apart() -> None:
    text = infotext("a cat,\nasleep", "dogs", {"Steps": 4, "Size": "64x96", "Model": "a, b"})
    assert fields_of(text) == {
        "Prompt": "a cat,\nasleep",
        "Negative prompt": "dogs",
        "Steps": "4",
        "Size-1": "64",
        "Size-2": "96",
        "Model": "a, b",
    }


@given(text=st.text())
def test_any_text_has_a_prompt(text: str) -> None:
    assert "Prompt" in fields_of(text)


def answered(**generation: Any) -> Any:
    """The body txt2img answers for a picture made by the fields of `generation`."""
    image = GeneratedImage(png(), "image/png", 64, 64, seed=7)
    made = Generation((image,), "x", "1", {}, **generation)
    outcome = Outcome(made, "cpu", "cpu", 1, fallback=True, queue_s=0.0, engine_s=1.0)
    result = GenerationResult((MadeImage(image, None),), outcome)
    asked = Txt2Img(prompt="a cat", extras=Extras(tiling=True))
    return generation_answer(asked, result, {"tiling": True, "unheard": 1}, send=True).json


def test_what_a_stand_in_left_out_is_named() -> None:
    assert answered(degraded=("tiling",))["degraded"] == ["tiling"]
    assert "degraded" not in answered()


def test_answers_have_the_keys_a_webui_gives() -> None:
    recorded_answer, answer = recorded("txt2img"), answered()
    assert answer.keys() == recorded_answer.keys()
    assert answer["parameters"].keys() == recorded_answer["parameters"].keys()
    assert json.loads(answer["info"]).keys() == json.loads(recorded_answer["info"]).keys()
    assert answer["parameters"]["tiling"] is True


class Pool:
    """Two engines that both have one upscaler, and each another."""

    asked = 0

    def listings(self, name: str) -> list[Any]:
        self.asked += 1
        return [[{"name": "A"}, {"name": "B"}], [{"name": "B"}, {"name": "C"}, "odd", {}]]


def test_lists_are_merged_and_asked_for_now_and_then() -> None:
    pool, clock = Pool(), Clock()
    facts = Facts(cast(EnginePool, pool), clock)
    for clock.now in (0.0, FRESH_S / 2):
        assert [row["name"] for row in facts.rows("upscalers")] == ["A", "B", "C"]
    assert pool.asked == 1
    clock.now = FRESH_S
    facts.rows("upscalers")
    assert pool.asked == 2


def test_what_was_told_last_stands_while_nobody_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, clock = Pool(), Clock()
    facts = Facts(cast(EnginePool, pool), clock)
    facts.rows("upscalers")
    monkeypatch.setattr(Pool, "listings", lambda *_: [])
    clock.now = FRESH_S
    facts.require_upscaler("C", "hr_upscaler")


def test_an_upscaler_that_nobody_has_is_refused() -> None:
    facts = Facts(cast(EnginePool, Pool()))
    facts.require_upscaler("C", "hr_upscaler")
    facts.require_upscaler("None", "hr_upscaler")
    with pytest.raises(InvalidBody, match="available: A, B, C"):
        facts.require_upscaler("D", "hr_upscaler")


@pytest.mark.parametrize("name", ["None", "Lanczos", "Nearest", "Latent", "Latent (nearest-exact)"])
def test_where_nobody_tells_only_what_every_webui_has_is_taken(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(Pool, "listings", lambda *_: [])
    facts = Facts(cast(EnginePool, Pool()))
    facts.require_upscaler(name, "hr_upscaler", latent=True)
    facts.require_vae("None")
    with pytest.raises(InvalidBody, match="no 'R-ESRGAN 4x\\+' here"):
        facts.require_upscaler("R-ESRGAN 4x+", "hr_upscaler", latent=True)
    with pytest.raises(InvalidBody, match="available: Automatic, None"):
        facts.require_vae("soft.vae.pt")
