"""Which PNGs are taken as they are without Pillow."""

from __future__ import annotations

import io
import tracemalloc
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ai import images
from ai.errors import InvalidImage
from ai.generation import Picture
from ai.images import ImageLimits, read_mask, read_picture
from ai.png_pixels import is_plain_png
from tests.pngs import END, chunk, header, png, with_checksums

WIDTH, HEIGHT = 24, 16
LINE = bytes([0]) + bytes(range(WIDTH))
LINES = LINE * HEIGHT
GREY = header(WIDTH, HEIGHT)
PACKED = zlib.compress(LINES)
PIXELS = chunk(b"IDAT", PACKED)
LIMITS = ImageLimits(max_bytes=1_000_000, max_pixels=100_000)


def saved(mode: str = "RGB", size: tuple[int, int] = (WIDTH, HEIGHT), **options: object) -> bytes:
    """By Pillow, which chooses filters as most encoders do."""
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(buffer, "PNG", **options)
    return buffer.getvalue()


def noisy(side: int) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def lines(*filters: int) -> bytes:
    return zlib.compress(b"".join(bytes([kind]) + bytes(WIDTH) for kind in filters))


def grey_of(*after_header: bytes) -> bytes:
    return png(GREY, *after_header, END)


def webui_png() -> bytes:
    """As the WebUI writes them: how it was made stands inside."""
    text = PngInfo()
    text.add_text("parameters", "a red circle\nSteps: 20")
    return saved(pnginfo=text)


PLAIN = {
    "rgb": saved(),
    "grey": saved("L"),
    "one pixel": saved("L", (1, 1)),
    "larger than what is unpacked at a time": noisy(400),
    "with the WebUI's parameters": webui_png(),
    "by hand": grey_of(PIXELS),
    "in two parts": grey_of(chunk(b"IDAT", PACKED[:20]), chunk(b"IDAT", PACKED[20:])),
    "with an empty part": grey_of(PIXELS, chunk(b"IDAT", b"")),
    "with every filter": png(header(WIDTH, 5), chunk(b"IDAT", lines(0, 1, 2, 3, 4)), END),
    "with a time and a text after the pixels": grey_of(
        PIXELS, chunk(b"tIME", bytes(7)), chunk(b"iTXt", b"parameters\0\0\0\0\0a red circle")
    ),
    "with a colour profile": grey_of(chunk(b"iCCP", b"a\0\0" + zlib.compress(b"a")), PIXELS),
}
OTHERS = {
    "with alpha": saved("RGBA"),
    "with a palette": saved("P"),
    "of one bit": saved("1"),
    "of sixteen bits": saved("I;16"),
    "with a transparent grey": grey_of(chunk(b"tRNS", b"\0\1"), PIXELS),
    "interlaced": png(header(WIDTH, HEIGHT, interlace=1), PIXELS, END),
    "animated": saved(save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT))]),
    "with EXIF": grey_of(chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0"), PIXELS),
    "with EXIF after the pixels": grey_of(PIXELS, chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0")),
    "with EXIF as text": grey_of(chunk(b"tEXt", b"Raw profile type exif\0\n"), PIXELS),
    "with XMP": grey_of(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>"), PIXELS),
    "with a packed text": grey_of(PIXELS, chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(b"a"))),
    "with an old packed text": grey_of(PIXELS, chunk(b"zTXt", b"a\0\0" + zlib.compress(b"a"))),
    "with a text that has no keyword": grey_of(chunk(b"tEXt", b"parameters"), PIXELS),
    "with a profile after the pixels": grey_of(PIXELS, chunk(b"iCCP", b"a\0\0a")),
    "with a chunk nobody knows": grey_of(chunk(b"prVt", b""), PIXELS),
    "with pixels apart": grey_of(
        chunk(b"IDAT", PACKED[:20]), chunk(b"tIME", bytes(7)), chunk(b"IDAT", PACKED[20:])
    ),
    "with a line too few": png(header(WIDTH, HEIGHT + 1), PIXELS, END),
    "with a line too many": png(header(WIDTH, HEIGHT - 1), PIXELS, END),
    "with a byte too many": grey_of(chunk(b"IDAT", zlib.compress(LINES + b"\0"))),
    "with a filter there is not": png(header(WIDTH, 3), chunk(b"IDAT", lines(0, 5, 0)), END),
    "with a wrong sum of its pixels": grey_of(chunk(b"IDAT", PACKED[:-1] + b"\0")),
    "without that sum": grey_of(chunk(b"IDAT", PACKED[:-4])),
    "with more after that sum": grey_of(chunk(b"IDAT", PACKED + b"\0")),
    "with a part after that sum": grey_of(PIXELS, chunk(b"IDAT", b"\0")),
    "not packed": grey_of(chunk(b"IDAT", LINES)),
    "packed without a head": grey_of(chunk(b"IDAT", PACKED[2:-4])),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_a_plain_png_is_known_as_such(kind: str) -> None:
    assert is_plain_png(PLAIN[kind])


@pytest.mark.parametrize("kind", OTHERS)
def test_any_other_is_left_to_pillow(kind: str) -> None:
    assert not is_plain_png(OTHERS[kind])


def test_a_plain_picture_is_read_without_decoding_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)

    read = read_picture(PLAIN["rgb"], field="image", limits=LIMITS)

    assert read.data is PLAIN["rgb"]
    assert (read.width, read.height, read.media_type) == (WIDTH, HEIGHT, "image/png")


def test_no_more_is_unpacked_than_belongs_to_the_picture() -> None:
    bomb = grey_of(chunk(b"IDAT", zlib.compress(bytes(100_000_000))))

    tracemalloc.start()
    try:
        assert not is_plain_png(bomb)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 1_000_000


def outcome(read: Callable[..., Picture], data: bytes) -> Picture | str:
    try:
        return read(data, field="image", limits=LIMITS)
    except InvalidImage as error:
        return str(error)


@given(
    st.sampled_from([*PLAIN.values(), *OTHERS.values()]),
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 255)), max_size=3),
)
def test_what_is_taken_as_plain_pillow_takes_as_it_is(
    data: bytes, changes: list[tuple[int, int]]
) -> None:
    changed = bytearray(data)
    for place, flip in changes:
        changed[place % len(changed)] ^= flip
    sent = with_checksums(changed)

    for read in (read_picture, read_mask):
        found = outcome(read, sent)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(images, "is_plain_png", lambda _: False)
            assert outcome(read, sent) == found
