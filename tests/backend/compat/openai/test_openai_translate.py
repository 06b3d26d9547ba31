"""OpenAI's words become a request within our own bounds, or are refused by their name."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ai.errors import InvalidRequest
from ai.images import ImageLimits
from backend.api.schemas import BodyModels
from backend.bounds import Bounds
from backend.compat.openai.fields import EditsBody, GenerationsBody, validated
from backend.compat.openai.translate import Translator, check_agreement
from backend.errors import InvalidBody
from backend.pictures import CallerPictures
from tests.pictures import data_uri, png

BOUNDS = Bounds(max_steps=30)
LIMITS = ImageLimits(max_bytes=100_000, max_pixels=100_000)
TRANSLATOR = Translator(BOUNDS, BodyModels(BOUNDS), CallerPictures(LIMITS))

likely = st.sampled_from(
    ["auto", "64x64", "2048x2048", "9999x1", "high", "max", "webp", "url", "gpt-image-2", "tinyB"]
)
anything = st.none() | st.booleans() | st.integers(-2, 200) | st.floats() | st.text() | likely
names = st.sampled_from([*EditsBody.model_fields, "style", "unknown"])


@given(st.dictionaries(names, anything, max_size=5), st.sampled_from([GenerationsBody, EditsBody]))
def test_any_body_is_a_request_within_bounds_or_refused(
    values: dict[str, Any], kind: type[GenerationsBody | EditsBody]
) -> None:
    good = {"prompt": "x"} | ({"image": data_uri(png())} if kind is EditsBody else {})
    try:
        body = validated(kind, good | values)
        check_agreement(body)
        asked = TRANSLATOR.request_of(body)
    except (InvalidBody, InvalidRequest):
        return
    assert 1 <= asked.steps <= BOUNDS.max_steps
    assert 1 <= asked.batch_size <= BOUNDS.max_batch_size
    assert asked.width * asked.height <= BOUNDS.max_pixels
    assert BOUNDS.min_size <= min(asked.width, asked.height)
    assert asked.prompt


def test_openai_s_own_models_mean_the_usual_checkpoint() -> None:
    asked = {
        model: TRANSLATOR.request_of(validated(GenerationsBody, {"prompt": "x", "model": model}))
        for model in ("dall-e-3", "gpt-image-2.5-flare", "chatgpt-image-latest", "gpt-imaginary")
    }
    assert [each.checkpoint for each in asked.values()] == [None] * 3 + ["gpt-imaginary"]
