"""Pictures that tests send and receive."""

from __future__ import annotations

import base64
from io import BytesIO

from PIL import Image, ImageDraw


def png(width: int = 64, height: int = 64, colour: str = "navy", mode: str = "RGB") -> bytes:
    """A plain picture with a red disc in its middle."""
    image = Image.new(mode, (width, height), colour)
    box = (width // 4, height // 4, width * 3 // 4, height * 3 // 4)
    ImageDraw.Draw(image).ellipse(box, fill="red" if mode == "RGB" else "white")
    return encoded(image)


def mask(width: int = 64, height: int = 64) -> bytes:
    """White in the middle, black around it."""
    return png(width, height, "black", "L")


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def data_uri(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{b64(data)}"


def from_data_uri(text: str) -> bytes:
    return base64.b64decode(text.split(",", 1)[1])
