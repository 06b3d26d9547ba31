"""Reading the structure of image files."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ai.image_files import ImageInfo, examine, inspect_image, sniff, sniff_whole
from tests.pngs import END, chunk, header, png

WHOLE_KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "png": ("PNG", {}),
    "palette png": ("PNG", {"mode": "P"}),
    "jpeg": ("JPEG", {}),
    "progressive jpeg": ("JPEG", {"progressive": True}),
    "webp": ("WEBP", {}),
    "lossless webp": ("WEBP", {"lossless": True}),
    "webp with exif": ("WEBP", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}),
    "animated webp": ("WEBP", {"save_all": True, "frames": 2}),
}


def sample(kind: str, size: tuple[int, int] = (40, 24)) -> bytes:
    image_format, how = WHOLE_KINDS[kind]
    options = dict(how)
    image = Image.linear_gradient("L").resize(size).convert(options.pop("mode", "RGB"))
    if options.pop("frames", 0):
        options["append_images"] = [image.transpose(Image.Transpose.ROTATE_180)]
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


SAMPLES = {kind: sample(kind) for kind in WHOLE_KINDS}


PIXELS = chunk(b"IDAT", zlib.compress(b"\0\0"))


@pytest.mark.parametrize("kind", WHOLE_KINDS)
def test_a_whole_file_tells_its_type_and_size(kind: str) -> None:
    media_type = f"image/{WHOLE_KINDS[kind][0].lower()}"

    assert inspect_image(SAMPLES[kind]) == ImageInfo(media_type, 40, 24)


@pytest.mark.parametrize("kind", WHOLE_KINDS)
def test_a_file_cut_anywhere_is_found_out(kind: str) -> None:
    data = SAMPLES[kind]

    for length in range(len(data)):
        with pytest.raises(ValueError):
            inspect_image(data[:length])


@pytest.mark.parametrize("kind", WHOLE_KINDS)
def test_a_file_with_more_after_its_end_is_refused_yet_can_be_examined(kind: str) -> None:
    data = SAMPLES[kind] + b"more"

    with pytest.raises(ValueError, match="does not end"):
        inspect_image(data)
    info, is_whole = examine(data)
    assert (info.width, info.height, is_whole) == (40, 24, False)


def test_any_changed_byte_of_a_png_is_found_out() -> None:
    data = SAMPLES["png"]

    for place in range(len(data)):
        with pytest.raises(ValueError):
            inspect_image(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])


@given(st.binary(max_size=300), st.sampled_from([b"", *(data[:30] for data in SAMPLES.values())]))
def test_arbitrary_bytes_are_at_worst_a_value_error(tail: bytes, start: bytes) -> None:
    with pytest.raises(ValueError):
        inspect_image(start + tail)


@given(st.sampled_from(list(SAMPLES.values())), st.integers(0, 5_000), st.integers(1, 255))
def test_a_changed_byte_is_at_worst_a_value_error(data: bytes, place: int, flip: int) -> None:
    changed = bytearray(data)
    changed[place % len(data)] ^= flip

    try:
        info = inspect_image(bytes(changed))
    except ValueError:
        return
    assert info.width >= 1
    assert info.height >= 1


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png(header(), END), id="without pixels"),
        pytest.param(png(PIXELS, END), id="without a header"),
        pytest.param(png(PIXELS, header(), END), id="with its header late"),
        pytest.param(png(header(), header(), PIXELS, END), id="with two headers"),
        pytest.param(png(header(width=0), PIXELS, END), id="no pixel wide"),
        pytest.param(png(header(height=0), PIXELS, END), id="no pixel high"),
        pytest.param(png(header(width=2**31), PIXELS, END), id="wider than a PNG may be"),
        pytest.param(png(header(depth=3), PIXELS, END), id="of 3 bits"),
        pytest.param(png(header(colour=3), PIXELS, END), id="lacking its palette"),
        pytest.param(png(header(colour=5), PIXELS, END), id="of unknown colours"),
        pytest.param(png(header(), PIXELS), id="without an end"),
        pytest.param(png(chunk(b"IHDR", b"short"), PIXELS, END), id="with a short header"),
        pytest.param(png(*[chunk(b"teXt", b"")] * 70_000), id="of chunks without end"),
    ],
)
def test_a_png_that_makes_no_sense_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        inspect_image(data)


def test_a_jpeg_made_to_burn_time_is_refused() -> None:
    data = SAMPLES["progressive jpeg"]
    scan = data[data.index(b"\xff\xda") : -2]
    comment = b"\xff\xfe\x00\x02"

    with pytest.raises(ValueError, match="scans"):
        inspect_image(data[:-2] + scan * 70 + data[-2:])
    with pytest.raises(ValueError, match="segments"):
        inspect_image(data[:2] + comment * 2_000 + data[2:])
    with pytest.raises(ValueError, match="segments"):
        inspect_image(data[:2] + b"\xff" * 2_000 + data[2:])


def test_a_jpeg_with_two_frames_is_refused() -> None:
    data = SAMPLES["jpeg"]
    frame_at = data.index(b"\xff\xc0")
    (length,) = struct.unpack_from(">H", data, frame_at + 2)
    frame = data[frame_at : frame_at + 2 + length]

    with pytest.raises(ValueError, match="two frames"):
        inspect_image(data[:frame_at] + frame + data[frame_at:])


def test_fill_bytes_before_a_jpeg_segment_are_allowed() -> None:
    data = SAMPLES["jpeg"]

    assert inspect_image(data[:2] + b"\xff\xff" + data[2:]).width == 40


def test_a_gif_is_examined_but_never_taken_as_whole() -> None:
    buffer = io.BytesIO()
    Image.new("P", (7, 5)).save(buffer, "GIF")

    assert examine(buffer.getvalue()) == (ImageInfo("image/gif", 7, 5), False)
    with pytest.raises(ValueError):
        inspect_image(buffer.getvalue())


@pytest.mark.parametrize(
    ("start", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\x10\0\0\0WEBP", "image/webp"),
        (b"GIF89a", "image/gif"),
        (b"GIF87a", "image/gif"),
        (b"RIFF\x10\0\0\0WAVE", None),
        (b"BM", None),
        (b"<svg xmlns=", None),
        (b"", None),
    ],
)
def test_the_first_bytes_tell_the_media_type(start: bytes, media_type: str | None) -> None:
    assert sniff(start) == media_type


@pytest.mark.parametrize("kind", WHOLE_KINDS)
def test_the_two_ends_of_a_file_tell_whether_it_was_cut(kind: str) -> None:
    data = SAMPLES[kind]
    zeroed = data[:-12] + bytes(12)
    is_webp = data.startswith(b"RIFF")

    assert sniff_whole(data[:16], data[-12:], len(data)) == inspect_image(data).media_type
    for length in (0, 4, 16, len(data) // 2, len(data) - 1):
        cut = data[:length]
        assert sniff_whole(cut[:16], cut[-12:], length) is None
    assert (sniff_whole(zeroed[:16], zeroed[-12:], len(data)) is None) is not is_webp
