"""Requests for the embedded engine, and what its pictures hold."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ai.engines.openvino.engine import OpenVinoEngine
from ai.generation import GeneratedImage, Generation, GenerationRequest, Picture, Txt2Img

TIMEOUT_S = 60.0
Pixels = NDArray[np.uint8]


def txt2img(**fields: Any) -> Txt2Img:
    """A quick request: 64 x 64 pixels, two steps, seed 7, where nothing else is said."""
    quick: dict[str, Any] = {"width": 64, "height": 64, "steps": 2, "seed": 7}
    return Txt2Img(**{"prompt": "a red circle", **quick, **fields})


def generate(
    engine: OpenVinoEngine, request: GenerationRequest, *, stand_in: bool = False
) -> Generation:
    return engine.generate(request, timeout_s=TIMEOUT_S, stand_in=stand_in)


def made(engine: OpenVinoEngine, request: GenerationRequest) -> Pixels:
    """(height, width, 3): the first picture the engine makes of `request`."""
    return pixels(generate(engine, request).images[0])


def pixels(image: GeneratedImage) -> Pixels:
    with Image.open(io.BytesIO(image.data)) as opened:
        return np.asarray(opened.convert("RGB"))


def picture(image: Image.Image) -> Picture:
    """As a caller's picture, after checking."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return Picture(buffer.getvalue(), "image/png", image.width, image.height)


def colourful(width: int, height: int) -> Image.Image:
    """A picture in which no two neighbouring pixels are alike."""
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    channels = [across * 255 // width, down * 255 // height, (across * 7 + down * 13) % 256]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def white_box(width: int, height: int, box: tuple[int, int, int, int]) -> Image.Image:
    """A black mask, white within `box`: left, top, right, bottom."""
    mask = Image.new("L", (width, height))
    mask.paste(255, box)
    return mask
