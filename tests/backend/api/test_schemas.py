"""What the wire accepts: strict types, bounds at their very edge, unknown fields by name."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.api.schemas import BodyModels, Img2ImgBody, InpaintingBody, Txt2ImgBody
from backend.bounds import Bounds
from backend.errors import InvalidBody

MODELS = BodyModels(Bounds())


def wrong_fields(values: dict[str, Any], body: Any = Txt2ImgBody) -> set[str]:
    try:
        MODELS.validate(body, values)
    except InvalidBody as error:
        return {item.field for item in error.errors if item.message}
    return set()


def with_prompt(**values: Any) -> dict[str, Any]:
    return {"prompt": "a red circle", **values}


@pytest.mark.parametrize(
    "values",
    [
        {"prompt": "x"},
        {"prompt": "x" * 4000},
        with_prompt(negative_prompt="y" * 4000),
        with_prompt(steps=1),
        with_prompt(steps=150),
        with_prompt(cfg_scale=1),
        with_prompt(cfg_scale=30.0),
        with_prompt(width=64, height=2048),
        with_prompt(seed=-1),
        with_prompt(seed=2**32 - 1),
        with_prompt(batch_size=4),
        with_prompt(model=None, sampler_name=None, scheduler=None),
    ],
)
def test_the_edges_are_allowed(values: dict[str, Any]) -> None:
    assert wrong_fields(values) == set()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", ""),
        ("prompt", "x" * 4001),
        ("prompt", None),
        ("prompt", 7),
        ("prompt", "a\x00b"),
        ("prompt", "<sd_cpp_extra_args>{}</sd_cpp_extra_args>"),
        ("negative_prompt", "y" * 4001),
        ("steps", 0),
        ("steps", 151),
        ("steps", "20"),
        ("steps", 20.0),
        ("steps", True),
        ("cfg_scale", 0.99),
        ("cfg_scale", 30.01),
        ("cfg_scale", math.nan),
        ("cfg_scale", math.inf),
        ("width", 56),
        ("width", 2056),
        ("height", 100),
        ("seed", -2),
        ("seed", 2**32),
        ("batch_size", 0),
        ("batch_size", 5),
        ("model", ""),
        ("model", "x" * 501),
        ("response_format", "png"),
        ("override_settings", {}),
        ("script_name", "Custom code"),
        ("alwayson_scripts", {}),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(field: str, value: Any) -> None:
    assert wrong_fields(with_prompt(**{field: value})) == {field}


def test_every_wrong_field_is_named_at_once() -> None:
    assert wrong_fields({"steps": 0, "stpes": 3}) == {"prompt", "steps", "stpes"}


@pytest.mark.parametrize(("value", "wrong"), [(0, True), (1e-9, False), (1, False), (1.01, True)])
def test_strength_is_above_zero_to_one(value: float, wrong: bool) -> None:
    values = with_prompt(image="aGk=", strength=value)
    assert wrong_fields(values, Img2ImgBody) == ({"strength"} if wrong else set())


def test_the_defaults_are_those_of_the_contract() -> None:
    image = {"image": "aGk=", "mask": "aGk="}
    txt2img = MODELS.validate(Txt2ImgBody, with_prompt())
    img2img = MODELS.validate(Img2ImgBody, with_prompt(image="aGk="))
    inpainting = MODELS.validate(InpaintingBody, with_prompt(**image))
    assert (txt2img.steps, txt2img.cfg_scale, txt2img.width, txt2img.height) == (20, 7.5, 512, 512)
    assert (img2img.steps, img2img.strength) == (20, 0.75)
    assert (inpainting.steps, inpainting.strength, inpainting.mask_blur) == (30, 0.9, 4)


def test_a_picture_must_be_text_or_a_file() -> None:
    assert wrong_fields(with_prompt(image=3), Img2ImgBody) == {"image"}
    assert wrong_fields(with_prompt(), Img2ImgBody) == {"image"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
field_names = st.sampled_from([*InpaintingBody.model_fields, "foo", ""])


@given(st.dictionaries(field_names, json_values, max_size=8))
def test_any_body_is_either_taken_within_bounds_or_refused(values: dict[str, Any]) -> None:
    try:
        body = MODELS.validate(InpaintingBody, values)
    except InvalidBody:
        return
    assert 1 <= len(body.prompt) <= 4000
    assert 1 <= body.steps <= 150
    assert math.isfinite(body.cfg_scale)
    assert 0 < body.strength <= 1
    assert -1 <= body.seed < 2**32
