"""Pictures for the fake WebUI: plain and quick, or noisy and as heavy as real ones."""

from __future__ import annotations

import zlib
from functools import lru_cache
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from tests.pngs import END, chunk, header, png

Pixels = npt.NDArray[np.uint8]

_TILES = 8
_NOISE_LEVELS = 32
"""Five random bits a channel: a PNG of 512x512 then has about 0.5 MB, as a photograph has."""


def make_pixels(seed: int, *key: str, width: int, height: int, done: float = 1.0) -> Pixels:
    """A patchwork that depends on everything given; greyer the less of it is `done`."""
    patchwork = _patchwork(zlib.crc32(repr((seed, *key)).encode()), width, height)
    return patchwork if done >= 1 else (patchwork * done + 128 * (1 - done)).astype(np.uint8)


@lru_cache(maxsize=64)
def _patchwork(seed: int, width: int, height: int) -> Pixels:
    tiles = np.random.default_rng(seed).integers(0, 256, (_TILES, _TILES, 3), dtype=np.uint8)
    rows = np.arange(height) * _TILES // height
    columns = np.arange(width) * _TILES // width
    return tiles[rows[:, None], columns[None, :]]


def encode_noise(width: int, height: int) -> bytes:
    """A PNG that compresses as badly as a photograph."""
    shape = (height, width, 3)
    noise = np.random.default_rng(0).integers(0, _NOISE_LEVELS, shape, dtype=np.uint8)
    return encode_png(noise * 4 + 64)


def repaint(original: Pixels, fresh: Pixels, strength: float) -> Pixels:
    """img2img: the more strength, the less is left of the original."""
    return (original * (1 - strength) + fresh * strength).astype(np.uint8)


def inpaint(original: Pixels, fresh: Pixels, mask: Image.Image, blur: int) -> Pixels:
    """`fresh` where the mask is white; where it is black, exactly the original."""
    grey = mask.convert("L")
    soft = grey.filter(ImageFilter.GaussianBlur(blur)) if blur else grey
    share = np.asarray(soft, dtype=np.float32)[:, :, None] / 255
    return np.rint(original * (1 - share) + fresh * share).astype(np.uint8)


def encode(pixels: Pixels, parameters: str, samples_format: str = "png") -> bytes:
    """The file the WebUI would send, `parameters` inside."""
    if samples_format == "png":
        return encode_png(pixels, parameters)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, {"jpg": "jpeg"}.get(samples_format, samples_format))
    return buffer.getvalue()


def encode_png(pixels: Pixels, parameters: str | None = None) -> bytes:
    """A PNG with its `parameters` tEXt chunk where the WebUI puts it: before the pixels."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)
    rows[:, 1:] = pixels.reshape(height, 3 * width)
    chunks = [header(width, height, colour=2)]
    if parameters is not None:
        text = parameters.encode("latin-1", "replace")
        chunks.append(chunk(b"tEXt", b"parameters\0" + text))
    return png(*chunks, chunk(b"IDAT", zlib.compress(rows.tobytes(), 1)), END)
