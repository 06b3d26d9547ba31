"""Pictures from callers: untrusted bytes in, bytes that every engine reads out."""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pybase64
from PIL import Image, ImageChops

from ai.errors import ImageTooLarge, InvalidImage
from ai.generation import Picture
from ai.image_files import ImageInfo, examine, inspect_image, sniff
from ai.png_pixels import is_plain_png

__all__ = [
    "ImageInfo",
    "ImageLimits",
    "decode_base64",
    "flatten",
    "inspect_image",
    "read_mask",
    "read_picture",
    "read_transparency",
    "sniff",
]

_PILLOW_WARNS_FROM = 89_478_485
"""Pixels from which Pillow's own guard speaks: a warning, by a setting of the whole process."""
_FORMATS = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
}
_PNG_BIT_DEPTH_AT = 24
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings a picture of each EXIF orientation upright; 1 is upright."""
_WHITESPACE = b" \t\r\n"

# Else a caller could fill the log with Pillow's remarks on the oddities of a file.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """The most a caller's picture may hold: bytes as a file, pixels in all, pixels a side.

    `max_pixels` is at most 89,478,485, else ValueError.
    """

    max_bytes: int
    max_pixels: int
    max_side: int = 16_384

    def __post_init__(self) -> None:
        if self.max_pixels > _PILLOW_WARNS_FROM:
            raise ValueError(f"max_pixels must be at most {_PILLOW_WARNS_FROM}")


def read_picture(data: bytes, *, field: str, limits: ImageLimits) -> Picture:
    """The picture in a PNG, JPEG, WebP or GIF file that a caller sent as `field`.

    The bytes are kept when they are a plain upright grey or RGB PNG or JPEG of 8 bits a
    channel. Anything else becomes such a PNG: the first frame, turned upright as its EXIF
    says, on white where it is transparent, 16 bits scaled to 8, colour profiles ignored.
    Raises ImageTooLarge before a pixel is decoded, InvalidImage for whatever is not a whole
    picture.
    """
    return _read(data, field, limits, as_mask=False)


def read_mask(data: bytes, *, field: str, limits: ImageLimits) -> Picture:
    """The mask in a file that a caller sent, as a grey PNG of 8 bits: white is repainted.

    Colours count by their luminance and greys stay grey, so that soft masks are possible.
    What is transparent is kept, as black is. Reads and raises as `read_picture` does.
    """
    return _read(data, field, limits, as_mask=True)


def read_transparency(data: bytes, *, field: str, limits: ImageLimits) -> Picture | None:
    """What is transparent in a picture, as a mask like `read_mask`'s: transparent is white.

    None where nothing is. Raises as `read_picture` does.
    """
    with _opened(data, field, limits) as (image, _):
        if not image.has_transparency_data:
            return None
        alpha = image.convert("RGBA").getchannel("A")
        if alpha.getextrema()[0] == 255:
            return None
        return _packed(ImageChops.invert(alpha), _orientation(image))


def decode_base64(text: str | bytes, *, field: str, max_bytes: int) -> bytes:
    """The bytes in a `data:image/...;base64,` URI, or in bare base64.

    The standard alphabet; line breaks and spaces are skipped, missing padding is made up.
    Raises ImageTooLarge, from the length of the text, for more than `max_bytes`, and
    InvalidImage for anything else that is no base64; URLs are not fetched.
    """
    try:
        encoded = text.encode("ascii") if isinstance(text, str) else text
    except UnicodeEncodeError as error:
        raise InvalidImage(field, "is not base64: it holds other than ASCII") from error
    encoded = _without_data_uri(encoded, field)
    if any(encoded.find(space) >= 0 for space in _WHITESPACE):
        encoded = encoded.translate(None, _WHITESPACE)
    padding = encoded.count(b"=", -2)
    _require_bytes((len(encoded) - padding) * 3 // 4, field, max_bytes)
    try:
        return pybase64.b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
    except ValueError as error:
        raise InvalidImage(
            field, "is not valid base64; send a data URI or base64 of the standard alphabet"
        ) from error


def flatten(image: Image.Image, *, background: str = "white") -> Image.Image:
    """The pixels of any picture we open as 8 bits a channel, mode L or RGB, without alpha.

    `background` shows where the picture is transparent. Raises ValueError for a mode that
    none of our formats has.
    """
    image.load()
    if image.mode == "I;16":
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        canvas = Image.new("RGB", image.size, background)
        canvas.paste(colours, mask=colours)
        return canvas
    if image.mode == "1":
        return image.convert("L")
    if image.mode in ("P", "CMYK"):
        return image.convert("RGB")
    if image.mode not in ("L", "RGB"):
        raise ValueError(f"a picture of mode {image.mode}")
    return image


def _read(data: bytes, field: str, limits: ImageLimits, *, as_mask: bool) -> Picture:
    modes = ("L",) if as_mask else ("L", "RGB")
    with _opened(data, field, limits) as (image, is_whole):
        if is_whole and image.format == "PNG" and image.mode in modes and is_plain_png(data):
            return Picture(data, "image/png", *image.size)
        if image.format != "JPEG":
            # A PNG may hold its EXIF after its pixels; a JPEG may do with less than all.
            image.load()
        if is_whole and image.mode in modes and _is_plain(image, data, as_mask=as_mask):
            width, height = image.size
            _decode_all(image)
            media_type = "image/png" if image.format == "PNG" else "image/jpeg"
            return Picture(data, media_type, width, height)
        return _as_png(image, as_mask=as_mask)


@contextmanager
def _opened(data: bytes, field: str, limits: ImageLimits) -> Iterator[tuple[Image.Image, bool]]:
    """A picture within `limits`, no pixel read yet, and whether its file ends where it does.

    Whatever goes wrong with it meanwhile is raised as InvalidImage.
    """
    if not data:
        raise InvalidImage(field, "is empty; send a PNG, JPEG, WebP or GIF picture")
    _require_bytes(len(data), field, limits.max_bytes)
    media_type = sniff(data)
    if media_type is None:
        raise InvalidImage(field, "is not a picture we read; send a PNG, JPEG, WebP or GIF")
    try:
        info, is_whole = examine(data)
        _require_pixels(info.width, info.height, field, limits)
        with Image.open(io.BytesIO(data), formats=[_FORMATS[media_type]]) as image:
            _require_pixels(*image.size, field, limits)
            yield image, is_whole
    except InvalidImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(field, "holds too many pixels; scale it down") from error
    # Pillow's decoders raise whatever they stumble on: OSError, SyntaxError, struct.error...
    except Exception as error:
        raise InvalidImage(
            field, "is broken or cut short; save it again as a plain PNG or JPEG"
        ) from error


def _is_plain(image: Image.Image, data: bytes, *, as_mask: bool) -> bool:
    if image.format == "PNG":
        is_plain = data[_PNG_BIT_DEPTH_AT] == 8 and not getattr(image, "is_animated", False)
    else:
        is_plain = image.format == "JPEG" and not as_mask
    return is_plain and not image.has_transparency_data and _orientation(image) not in _UPRIGHT


def _decode_all(image: Image.Image) -> None:
    """Find out whether the pixels are all there; of a JPEG in small, which costs less."""
    image.draft("L", (max(1, image.width // 8), max(1, image.height // 8)))
    image.load()


def _as_png(image: Image.Image, *, as_mask: bool) -> Picture:
    orientation = _orientation(image)
    pixels = flatten(image, background="black" if as_mask else "white")
    if as_mask:
        pixels = pixels.convert("L")
    return _packed(pixels, orientation)


def _packed(pixels: Image.Image, orientation: int) -> Picture:
    if orientation in _UPRIGHT:
        pixels = pixels.transpose(_UPRIGHT[orientation])
    pixels.info = {}
    buffer = io.BytesIO()
    # On filtered photographs run lengths alone are found faster, and pack no worse.
    pixels.save(buffer, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return Picture(buffer.getvalue(), "image/png", *pixels.size)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    # Cameras and editors write broken EXIF under sound pictures: taken as upright.
    except Exception:
        return 1


def _without_data_uri(encoded: bytes, field: str) -> bytes:
    start = encoded[:256].lstrip().lower()
    if start.startswith((b"http:", b"https:")):
        raise InvalidImage(field, "is a URL, and this server fetches none; send base64")
    if not start.startswith(b"data:"):
        return encoded
    header, comma, _ = start.partition(b",")
    if not comma or not header.startswith(b"data:image/") or not header.endswith(b";base64"):
        raise InvalidImage(field, "is no data URI of a picture: data:image/png;base64,...")
    return encoded[encoded.index(b",") + 1 :]


def _require_bytes(size: int, field: str, max_bytes: int) -> None:
    if size > max_bytes:
        raise ImageTooLarge(
            field, f"holds {size:,} bytes, at most {max_bytes:,} are taken; save it smaller"
        )


def _require_pixels(width: int, height: int, field: str, limits: ImageLimits) -> None:
    if max(width, height) > limits.max_side or width * height > limits.max_pixels:
        raise ImageTooLarge(
            field,
            f"is {width}x{height}; at most {limits.max_pixels:,} pixels are taken, "
            f"and {limits.max_side:,} a side; scale it down",
        )
