"""The text a picture carries about how it was made, and what that says field by field."""

from __future__ import annotations

import re
from io import BytesIO

from PIL import Image

from ai.errors import InvalidImage
from ai.image_files import sniff

MAX_TEXT_CHARS = 100_000
MAX_TEXTS = 50
PARAMETERS = "parameters"
_EXIF_BLOCK, _USER_COMMENT = 0x8769, 0x9286
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
_FIELD = re.compile(r'\s*(\w[\w \-/]{0,60}):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')
_SIZE = re.compile(r"(\d+)x(\d+)")


def texts_of(data: bytes, field: str) -> dict[str, str]:
    """Every text in the file by its keyword, as far as they are short; no pixel is decoded.

    The WebUI's own is under "parameters", from a JPEG's or WebP's EXIF too. Raises
    InvalidImage.
    """
    if sniff(data) is None:
        raise InvalidImage(field, "is not a picture we read; send a PNG, JPEG, WebP or GIF")
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as image:
            known = {str(name): text for name, text in image.info.items() if isinstance(text, str)}
            comment = _user_comment(image)
    # Pillow's readers raise whatever they stumble on.
    except Exception as error:
        raise InvalidImage(field, "is broken or cut short") from error
    if comment and PARAMETERS not in known:
        known[PARAMETERS] = comment
    short = {name: text for name, text in known.items() if len(text) <= MAX_TEXT_CHARS}
    return dict(list(short.items())[:MAX_TEXTS])


def fields_of(infotext: str) -> dict[str, str]:
    """The WebUI's fields in its text: "Prompt", "Negative prompt", "Steps", "Size-1", ..."""
    *lines, last = infotext.strip().split("\n")
    found = _FIELD.findall(last)
    if len(found) < 3:
        lines, found = [*lines, last], []
    prompt, _, negative = "\n".join(lines).partition("Negative prompt:")
    fields = {"Prompt": prompt.strip(), "Negative prompt": negative.strip()}
    for name, value in found:
        if size := _SIZE.fullmatch(value):
            fields |= {f"{name}-1": size[1], f"{name}-2": size[2]}
        else:
            fields[name] = value.strip('"')
    return fields


def _user_comment(image: Image.Image) -> str | None:
    if image.format == "PNG":
        # It may have its EXIF after its pixels, which Pillow would decode all of to get there.
        return None
    comment = image.getexif().get_ifd(_EXIF_BLOCK).get(_USER_COMMENT)
    if isinstance(comment, str):
        return comment
    if not isinstance(comment, bytes):
        return None
    encoding = "utf-16-be" if comment.startswith(b"UNICODE\0") else "utf-8"
    return comment[8:].decode(encoding, "replace")
