"""Pictures as PNG files that say how they were made, in the words the WebUI uses."""

from __future__ import annotations

import io
from collections.abc import Mapping

import orjson
from PIL import Image
from PIL.PngImagePlugin import PngInfo

_PNG_LEVEL = 1
"""Measured on a 512 x 512 picture: 18 ms; the default, 6, takes 42 ms for a third fewer bytes."""


def infotext(prompt: str, negative_prompt: str, details: Mapping[str, object]) -> str:
    """The WebUI's text for a picture."""
    stated = [f"{name}: {_quoted(value)}" for name, value in details.items()]
    lines = [prompt]
    if negative_prompt:
        lines.append(f"Negative prompt: {negative_prompt}")
    return "\n".join([*lines, ", ".join(stated)])


def encode_png(image: Image.Image, text: str) -> bytes:
    """The picture as a PNG whose `parameters` chunk holds `text`."""
    info = PngInfo()
    info.add_text("parameters", text)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info, compress_level=_PNG_LEVEL)
    return buffer.getvalue()


def _quoted(value: object) -> str:
    text = str(value)
    is_plain = not any(mark in text for mark in ",:\n")
    return text if is_plain else orjson.dumps(text).decode()
