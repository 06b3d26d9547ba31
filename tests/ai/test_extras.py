"""What a request needs beyond the plain kinds, and who is asked for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ai.catalogue import Catalogue
from ai.engines.base import Checkpoint, EngineFacts, Sampler
from ai.errors import UnsupportedRequest
from ai.extras import ControlUnit, DetailUnit, Extras, HiresFix, Skill
from ai.generation import Ability, Picture, Txt2Img
from ai.tools import Caption, Upscale
from tests.ai.toy_engine import ToyEngine

HIRES = HiresFix(width=1024, height=1024, upscaler="Latent", steps=10, denoising_strength=0.5)
CONTROL = (ControlUnit(module="canny", model="canny"),)
PICTURE = Picture(b"one", "image/png", 64, 64)


def asked(**extras: Any) -> Txt2Img:
    return Txt2Img(prompt="a cat", extras=Extras(**extras))


def catalogue(fallback: Any = "on", **skills: frozenset[Ability]) -> Catalogue:
    """Of engines with these skills, the one named cpu of the CPU tier."""
    engines = [ToyEngine(name, tier="cpu" if name == "cpu" else "gpu") for name in skills]
    catalogue = Catalogue(engines, fallback)
    for name, known in skills.items():
        facts = EngineFacts((Checkpoint("x", "x"),), (Sampler("Euler"),), skills=known)
        catalogue.learn(name, facts)
    return catalogue


@pytest.mark.parametrize(
    ("extras", "skill"),
    [
        ({"hires": HIRES}, "webui"),
        ({"subseed_strength": 0.1}, "webui"),
        ({"restore_faces": True}, "webui"),
        ({"tiling": True}, "webui"),
        ({"eta": 0.5}, "webui"),
        ({"resize_mode": 1}, "webui"),
        ({"inpainting_fill": 2}, "webui"),
        ({"clip_skip": 2}, "clip_skip"),
        ({"vae": "soft.vae.pt"}, "vae"),
        ({"control": CONTROL}, "controlnet"),
        ({"details": (DetailUnit(ad_model="face.pt"),)}, "adetailer"),
    ],
)
def test_each_extra_goes_only_to_those_who_can(extras: dict[str, Any], skill: Skill) -> None:
    request = asked(**extras)
    assert request.needs == {"txt2img", skill}
    both = catalogue(plain=frozenset(), able=frozenset({skill}))
    assert both.match(request).choices[0] == {"able"}
    with pytest.raises(UnsupportedRequest, match=skill):
        catalogue(plain=frozenset()).match(request)


@pytest.mark.parametrize(
    "extras",
    [{"n_iter": 2}, {"clip_skip": 1}, {"vae": "Automatic"}, {"inpainting_fill": 0}, {"subseed": 5}],
)
def test_what_every_engine_can_needs_no_skill(extras: dict[str, Any]) -> None:
    assert asked(**extras).needs == {"txt2img"}


def test_an_engine_without_the_skill_only_stands_in() -> None:
    some = catalogue(able=frozenset({"webui"}), cpu=frozenset())
    choices = some.match(asked(tiling=True)).choices
    assert [*map(set, choices)] == [{"able"}, set(), {"cpu"}]


def test_nobody_is_asked_who_can_only_one_of_two_things() -> None:
    apart = catalogue(one=frozenset({"controlnet"}), other=frozenset({"webui"}))
    with pytest.raises(UnsupportedRequest, match="controlnet, txt2img, webui"):
        apart.match(asked(control=CONTROL, tiling=True))


def test_tools_go_to_those_who_have_them_and_never_to_a_stand_in() -> None:
    tools = catalogue(able=frozenset({"upscale"}), cpu=frozenset())
    enlarging = Upscale(image=PICTURE, width=128, height=128)
    assert [*map(set, tools.match(enlarging).choices)] == [{"able"}, set(), set()]
    with pytest.raises(UnsupportedRequest, match="caption"):
        tools.match(Caption(image=PICTURE))


def test_the_second_pass_and_every_image_count_as_work() -> None:
    plain = Txt2Img(prompt="a", width=512, height=512, steps=20)
    twice = replace(plain, batch_size=2, extras=Extras(n_iter=3, hires=HIRES))
    second_pass = 1024 * 1024 * 5 / 1e6
    assert twice.megapixel_steps == pytest.approx((plain.megapixel_steps + second_pass) * 6)
    assert twice.result_size == (1024, 1024)


def test_a_mixed_in_seed_is_drawn_once_too() -> None:
    request = replace(asked(subseed_strength=0.5), seed=7)
    assert request.is_left_to_chance
    drawn = request.with_seed()
    assert drawn.extras is not None
    assert drawn.extras.subseed >= 0
    assert not drawn.is_left_to_chance
    assert drawn.with_seed() is drawn
