"""Request bodies that run as they stand, for the OpenAPI document."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pybase64
from PIL import Image, ImageDraw

SIDE = 64


def _data_uri(image: Image.Image) -> str:
    buffer = BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + pybase64.b64encode(buffer.getvalue()).decode("ascii")


def _disc(mode: str, ground: str, disc: str) -> str:
    image = Image.new(mode, (SIDE, SIDE), ground)
    ImageDraw.Draw(image).ellipse((16, 16, 47, 47), fill=disc)
    return _data_uri(image)


_PICTURE = _disc("RGB", "navy", "red")
_MASK = _disc("L", "black", "white")

BODIES: dict[str, dict[str, Any]] = {
    "txt2img": {
        "prompt": "a red circle on a blue background",
        "width": 256,
        "height": 256,
        "steps": 12,
        "seed": 42,
    },
    "img2img": {
        "prompt": "a green circle on a blue background",
        "image": _PICTURE,
        "strength": 0.75,
        "steps": 12,
        "seed": 42,
    },
    "inpainting": {
        "prompt": "a yellow star on a blue background",
        "image": _PICTURE,
        "mask": _MASK,
        "steps": 12,
        "seed": 42,
    },
}
"""One body for each kind of generation, small and quick."""
