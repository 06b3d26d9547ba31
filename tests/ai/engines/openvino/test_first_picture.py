"""What is made first must not spoil what is made after it, as 64x64 does where nobody minds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from ai.engines.openvino.engine import OpenVinoEngine, Precision
from ai.generation import GenerationRequest, Img2Img, Inpainting
from tests.ai.engines.openvino.conftest import NewEngine
from tests.ai.engines.openvino.support import colourful, made, picture, txt2img

LARGE = txt2img(width=256, height=256, steps=6, cfg_scale=3.0)
LEAST: dict[str, Any] = {"prompt": "a blue star", "width": 64, "height": 64, "steps": 2, "seed": 1}
START = picture(colourful(64, 64))


def shows_a_red_circle(engine: OpenVinoEngine) -> bool:
    """Red in the middle, and nearly one colour around each pixel: noise is neither."""
    drawn = made(engine, LARGE).astype(int)
    red, green, blue = drawn[96:160, 96:160].mean(axis=(0, 1))
    roughness = np.abs(np.diff(drawn, axis=1)).mean()
    return bool(red > 2 * max(green, blue) and roughness < 5)


@pytest.mark.parametrize("precision", ["f32", "auto"])
@pytest.mark.parametrize(
    "first",
    [
        txt2img(**LEAST),
        Img2Img(**LEAST, image=START, denoising_strength=0.5),
        Inpainting(**LEAST, image=START, mask=picture(Image.new("L", (64, 64), 255))),
    ],
    ids=lambda request: type(request).__name__,
)
def test_the_least_picture_may_come_first(
    new_engine: NewEngine, precision: Precision, first: GenerationRequest
) -> None:
    engine = new_engine(precision=precision)
    made(engine, first)
    assert shows_a_red_circle(engine)
