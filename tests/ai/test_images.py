"""Reading callers' pictures."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pybase64
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ai.errors import ImageTooLarge, InvalidImage
from ai.generation import Picture
from ai.images import (
    ImageLimits,
    decode_base64,
    flatten,
    inspect_image,
    read_mask,
    read_picture,
)
from tests import pngs
from tests.pngs import chunk, with_checksums

LIMITS = ImageLimits(max_bytes=1_000_000, max_pixels=100_000)
RED, GREEN = (254, 0, 0), (0, 128, 0)


def encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def gradient(mode: str = "RGB", size: tuple[int, int] = (24, 16)) -> Image.Image:
    return Image.linear_gradient("L").resize(size).convert(mode)


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def picture(data: bytes) -> Picture:
    return read_picture(data, field="image", limits=LIMITS)


def pixels_of(read: Picture) -> Image.Image:
    image = Image.open(io.BytesIO(read.data))
    image.load()
    assert (image.format, image.size) == ("PNG", (read.width, read.height))
    assert inspect_image(read.data).media_type == read.media_type == "image/png"
    assert image.mode in ("L", "RGB")
    assert read.data[24] == 8, "bits a channel, as the header says"
    assert not image.has_transparency_data
    return image


def row(read: Picture) -> list[object]:
    image = pixels_of(read)
    return [image.getpixel((x, 0)) for x in range(image.width)]


def png(*, depth: int, colour: int, width: int, line: bytes, extra: bytes = b"") -> bytes:
    """A PNG one pixel high, of kinds that Pillow does not write."""
    pixels = chunk(b"IDAT", zlib.compress(b"\0" + line))
    return pngs.png(pngs.header(width, 1, depth, colour), extra, pixels, pngs.END)


def after_header(data: bytes, *chunks: bytes) -> bytes:
    return data[:33] + b"".join(chunks) + data[33:]


PLAIN = {
    "rgb png": encode(gradient("RGB"), "PNG"),
    "grey png": encode(gradient("L"), "PNG"),
    "rgb jpeg": encode(gradient("RGB"), "JPEG"),
    "grey jpeg": encode(gradient("L"), "JPEG"),
    "progressive jpeg": encode(gradient("RGB"), "JPEG", progressive=True),
    "rgb-coded jpeg": encode(gradient("RGB"), "JPEG", keep_rgb=True),
}
OTHERS = {
    "rgba png": encode(gradient("RGBA"), "PNG"),
    "grey and alpha png": encode(gradient("LA"), "PNG"),
    "palette png": encode(gradient("P"), "PNG"),
    "1-bit png": encode(gradient("1"), "PNG"),
    "16-bit png": encode(gradient("L").convert("I;16"), "PNG"),
    "animated png": encode(gradient(), "PNG", save_all=True, append_images=[gradient("L")]),
    "png with a turned exif": encode(gradient(), "PNG", exif=oriented(3)),
    "cmyk jpeg": encode(gradient("CMYK"), "JPEG"),
    "jpeg with a turned exif": encode(gradient(), "JPEG", exif=oriented(3)),
    "webp": encode(gradient(), "WEBP"),
    "webp with alpha": encode(gradient("RGBA"), "WEBP", lossless=True),
    "animated webp": encode(gradient(), "WEBP", save_all=True, append_images=[gradient("L")]),
    "gif": encode(gradient("P"), "GIF"),
    "animated gif": encode(gradient("P"), "GIF", save_all=True, append_images=[gradient("L")]),
}
EVERY = PLAIN | OTHERS


@pytest.mark.parametrize("kind", PLAIN)
def test_a_plain_picture_keeps_its_bytes(kind: str) -> None:
    read = picture(PLAIN[kind])

    assert read.data is PLAIN[kind]
    assert (read.width, read.height) == (24, 16)
    assert read.media_type == inspect_image(read.data).media_type


@pytest.mark.parametrize("kind", OTHERS)
def test_any_other_picture_becomes_a_plain_png(kind: str) -> None:
    image = pixels_of(picture(OTHERS[kind]))

    assert image.size == (24, 16)
    assert not image.info


@pytest.mark.parametrize("kind", EVERY)
def test_a_mask_is_always_a_grey_png(kind: str) -> None:
    read = read_mask(EVERY[kind], field="mask", limits=LIMITS)

    assert pixels_of(read).mode == "L"


def test_a_grey_png_mask_keeps_its_bytes_and_its_greys() -> None:
    assert read_mask(PLAIN["grey png"], field="mask", limits=LIMITS).data is PLAIN["grey png"]


def test_a_mask_counts_colours_by_luminance_and_what_is_transparent_as_black() -> None:
    image = Image.new("RGBA", (4, 1))
    for x, colour in enumerate(
        [(255, 255, 255, 255), (0, 255, 0, 255), (255, 255, 255, 0), (255, 255, 255, 128)]
    ):
        image.putpixel((x, 0), colour)

    read = read_mask(encode(image, "PNG"), field="mask", limits=LIMITS)

    assert row(read) == [255, 150, 0, 128]


def test_a_transparent_picture_is_put_on_white() -> None:
    image = Image.new("RGBA", (3, 1))
    for x, colour in enumerate([(0, 0, 0, 0), (0, 0, 0, 255), (0, 0, 0, 128)]):
        image.putpixel((x, 0), colour)

    assert row(picture(encode(image, "PNG"))) == [(255,) * 3, (0,) * 3, (127,) * 3]


def test_a_transparent_palette_entry_is_put_on_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *GREEN])
    image.putpixel((1, 0), 1)

    for data in (
        encode(image, "PNG", transparency=0),
        encode(image, "PNG", transparency=b"\x00\xff"),
        encode(image, "GIF", transparency=0),
    ):
        assert row(picture(data)) == [(255,) * 3, GREEN]


def test_a_transparent_key_colour_is_put_on_white() -> None:
    grey = png(depth=8, colour=0, width=2, line=b"\x10\x20", extra=chunk(b"tRNS", b"\x00\x10"))
    red_key = struct.pack(">HHH", *RED)
    colours = png(
        depth=8, colour=2, width=2, line=bytes(RED + GREEN), extra=chunk(b"tRNS", red_key)
    )

    assert row(picture(grey)) == [(255,) * 3, (32,) * 3]
    assert row(picture(colours)) == [(255,) * 3, GREEN]


def test_sixteen_bits_are_scaled_to_eight_and_not_clipped() -> None:
    grey = png(depth=16, colour=0, width=3, line=struct.pack(">HHH", 0, 0x8000, 0xFFFF))
    rgb = png(depth=16, colour=2, width=1, line=struct.pack(">HHH", 0, 0x8000, 0xFFFF))

    assert row(picture(grey)) == [0, 128, 255]
    assert row(read_mask(grey, field="mask", limits=LIMITS)) == [0, 128, 255]
    assert row(picture(rgb)) == [(0, 128, 255)]


def test_fewer_than_eight_bits_are_scaled_to_eight() -> None:
    assert row(picture(png(depth=2, colour=0, width=4, line=b"\x1b"))) == [0, 85, 170, 255]
    assert row(picture(png(depth=1, colour=0, width=2, line=b"\x40"))) == [0, 255]


def test_a_cmyk_jpeg_keeps_its_colours() -> None:
    data = encode(Image.new("RGB", (16, 16), RED).convert("CMYK"), "JPEG", quality=95)

    red, green, blue = np.asarray(pixels_of(picture(data)))[8, 8]

    assert red > 230
    assert green < 25
    assert blue < 25


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
def test_a_turned_picture_is_brought_upright(orientation: int, image_format: str) -> None:
    upright = Image.new("L", (32, 16))
    upright.paste(255, (0, 0, 16, 8))
    undo = {5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, orientation)
    stored = flipped(upright, undo).convert("RGB")

    read = picture(encode(stored, image_format, exif=oriented(orientation)))

    seen = Image.open(io.BytesIO(read.data)).convert("L")
    corners = np.asarray(seen)[[4, 4, 12, 12], [4, 28, 4, 28]]
    assert (read.width, read.height) == (32, 16)
    assert (corners > 128).tolist() == [True, False, False, False]


def flipped(image: Image.Image, orientation: int) -> Image.Image:
    """What a viewer that honours `orientation` would show, by plain array turns."""
    pixels = np.asarray(image)
    turned = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.T,
        6: np.rot90(pixels, -1),
        7: pixels[::-1, ::-1].T,
        8: np.rot90(pixels),
    }[orientation]
    return Image.fromarray(np.ascontiguousarray(turned))


BROKEN_EXIF = encode(gradient(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff nonsense")


@pytest.mark.filterwarnings("ignore")
def test_broken_exif_does_not_spoil_a_sound_picture() -> None:
    assert picture(BROKEN_EXIF).data is BROKEN_EXIF


def test_broken_exif_is_not_remarked_upon_on_stderr() -> None:
    program = (
        "import sys; from ai.images import *; read_picture(sys.stdin.buffer.read(),"
        "field='image', limits=ImageLimits(10_000, 10_000))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], input=BROKEN_EXIF, capture_output=True, check=True
    )

    assert done.stderr == b""


def test_an_animated_picture_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), RED), Image.new("RGB", (4, 4), GREEN)]

    for image_format, options in (("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True})):
        data = encode(frames[0], image_format, save_all=True, append_images=frames[1:], **options)
        assert row(picture(data))[0] == RED


def test_a_colour_profile_is_left_out_of_what_is_made_anew() -> None:
    for kind, mode in (("WEBP", "RGB"), ("JPEG", "CMYK")):
        data = encode(gradient(mode), kind, icc_profile=b"profile")

        assert "icc_profile" not in pixels_of(picture(data)).info


def test_a_picture_with_data_after_its_end_is_made_anew() -> None:
    assert pixels_of(picture(PLAIN["rgb png"] + b"motion video")).mode == "RGB"
    assert pixels_of(picture(PLAIN["rgb jpeg"] + b"motion video")).mode == "RGB"


@pytest.mark.parametrize("kind", EVERY)
def test_a_picture_cut_in_half_is_refused(kind: str) -> None:
    data = EVERY[kind]

    with pytest.raises(InvalidImage, match="broken or cut short"):
        picture(data[: len(data) // 2])


def test_pixels_that_are_missing_in_a_sound_container_are_found() -> None:
    with pytest.raises(InvalidImage, match="broken or cut short"):
        picture(png(depth=8, colour=0, width=9_000, line=b"few"))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", id="svg"),
        pytest.param(encode(gradient(), "BMP"), id="bmp"),
        pytest.param(encode(gradient(), "TIFF"), id="tiff"),
        pytest.param(encode(gradient("F"), "TIFF"), id="floating point tiff"),
        pytest.param(encode(gradient(), "ICO"), id="ico"),
        pytest.param(encode(gradient(), "PPM"), id="ppm"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n", id="eps"),
        pytest.param(b"not a picture", id="text"),
    ],
)
def test_other_kinds_of_file_are_refused_with_what_to_send(data: bytes) -> None:
    with pytest.raises(InvalidImage, match="send a PNG, JPEG, WebP or GIF"):
        picture(data)


def test_nothing_at_all_is_refused() -> None:
    with pytest.raises(InvalidImage, match="is empty"):
        picture(b"")


def test_more_bytes_than_allowed_are_refused_before_anything_is_read() -> None:
    limits = ImageLimits(max_bytes=10, max_pixels=100)

    with pytest.raises(ImageTooLarge, match="at most 10") as refused:
        read_picture(b"no picture, but long", field="image", limits=limits)

    assert refused.value.field == "image"


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "GIF"])
def test_more_pixels_than_allowed_are_refused(image_format: str) -> None:
    data = encode(Image.new("L", (400, 300)), image_format)

    with pytest.raises(ImageTooLarge, match="400x300; at most 100,000 pixels"):
        picture(data)


def test_a_side_longer_than_allowed_is_refused() -> None:
    with pytest.raises(ImageTooLarge, match="16,384 a side"):
        picture(encode(Image.new("L", (20_000, 1)), "PNG"))


def test_a_bomb_is_refused_by_its_header_with_no_pixel_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ai.images.Image.open", None)
    shape = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    data = PLAIN["grey png"]
    bomb = data[:8] + chunk(b"IHDR", shape) + data[33:]

    with pytest.raises(ImageTooLarge, match="60000x60000"):
        picture(bomb)


@pytest.mark.parametrize("action", ["error", "ignore"])
@pytest.mark.parametrize("side", [300, 10_000, 60_000])
def test_a_gif_whose_frame_outgrows_its_screen_is_refused(side: int, action: str) -> None:
    data = bytearray(encode(Image.new("P", (8, 8)), "GIF"))
    frame_at = data.index(b",\0\0\0\0\x08\0\x08\0")
    data[frame_at + 5 : frame_at + 9] = struct.pack("<HH", side, side + 100)

    with warnings.catch_warnings():
        warnings.simplefilter(action)  # type: ignore[arg-type]
        with pytest.raises(ImageTooLarge):
            picture(bytes(data))


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(
            chunk(b"zTXt", b"a\0\0" + zlib.compress(b" " * 3_000_000)), id="one large text"
        ),
        pytest.param(
            chunk(b"zTXt", b"a\0\0" + zlib.compress(b" " * 1_000_000)) * 70, id="many texts"
        ),
        pytest.param(
            chunk(b"iCCP", b"a\0\0" + zlib.compress(b" " * 3_000_000)), id="a large profile"
        ),
    ],
)
def test_a_small_png_that_unpacks_to_much_text_is_refused(extra: bytes) -> None:
    with pytest.raises(InvalidImage):
        picture(after_header(PLAIN["rgb png"], extra))


def test_limits_beyond_what_pillow_itself_lets_pass_are_refused() -> None:
    with pytest.raises(ValueError, match="max_pixels"):
        ImageLimits(max_bytes=1, max_pixels=90_000_000)


@pytest.mark.parametrize(
    "stumble",
    [
        ValueError(),
        OSError(),
        SyntaxError(),
        struct.error(),
        MemoryError(),
        OverflowError(),
        EOFError(),
        KeyError(),
        ZeroDivisionError(),
    ],
    ids=repr,
)
def test_whatever_the_decoder_raises_is_an_invalid_image(
    stumble: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise stumble

    monkeypatch.setattr("ai.images.Image.open", fail)
    with pytest.raises(InvalidImage) as refused:
        picture(PLAIN["rgb png"])

    assert refused.value.__cause__ is stumble


@pytest.mark.parametrize("mode", ["I", "F", "HSV"])
def test_a_mode_that_no_format_of_ours_has_is_refused(mode: str) -> None:
    with pytest.raises(ValueError, match="mode"):
        flatten(Image.new(mode, (1, 1)))


def only_a_picture_or_a_refusal(data: bytes) -> None:
    for read in (read_picture, read_mask):
        try:
            found = read(data, field="image", limits=LIMITS)
        except InvalidImage:
            continue
        image = Image.open(io.BytesIO(found.data))
        image.load()
        assert image.size == (found.width, found.height)
        assert found.width * found.height <= LIMITS.max_pixels


@given(st.binary(max_size=200), st.sampled_from([b"", *(data[:40] for data in EVERY.values())]))
def test_arbitrary_bytes_only_give_a_picture_or_a_refusal(tail: bytes, start: bytes) -> None:
    only_a_picture_or_a_refusal(start + tail)


@given(
    st.sampled_from(list(EVERY.values())),
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 255)), min_size=1, max_size=4),
    st.booleans(),
)
def test_changed_pictures_only_give_a_picture_or_a_refusal(
    data: bytes, changes: list[tuple[int, int]], repaired: bool
) -> None:
    changed = bytearray(data)
    for place, flip in changes:
        changed[place % len(changed)] ^= flip

    only_a_picture_or_a_refusal(with_checksums(changed) if repaired else bytes(changed))


@given(st.sampled_from(list(EVERY.values())), st.floats(0, 1))
def test_cut_pictures_only_give_a_picture_or_a_refusal(data: bytes, share: float) -> None:
    only_a_picture_or_a_refusal(data[: int(len(data) * share)])


def decoded(text: str | bytes, max_bytes: int = 1_000) -> bytes:
    return decode_base64(text, field="image", max_bytes=max_bytes)


@given(st.binary(min_size=1, max_size=300))
def test_base64_is_read_bare_or_as_a_data_uri(data: bytes) -> None:
    text = pybase64.b64encode(data).decode()

    assert decoded(text) == data
    assert decoded(text.encode()) == data
    assert decoded(f"data:image/png;base64,{text}") == data
    assert decoded(f"  DATA:image/x-any;charset=utf-8;BASE64,{text}\r\n") == data


@given(st.binary(min_size=1, max_size=300))
def test_base64_may_be_broken_into_lines_and_lack_its_padding(data: bytes) -> None:
    assert decoded(pybase64.encodebytes(data)) == data
    assert decoded(pybase64.b64encode(data).rstrip(b"=")) == data


@given(st.one_of(st.text(max_size=60), st.binary(max_size=60)))
def test_anything_as_base64_only_gives_bytes_or_a_refusal(text: str | bytes) -> None:
    try:
        data = decoded(text)
    except InvalidImage:
        return
    assert len(data) <= 60


@pytest.mark.parametrize("text", ["QUJD*", "Q", "QUJ_", "QU=JD", "héllo", "=", "QUJD===="])
def test_what_is_no_standard_base64_is_refused(text: str) -> None:
    with pytest.raises(InvalidImage, match="base64"):
        decoded(text)


@pytest.mark.parametrize(
    "text",
    [
        "data:text/html;base64,QUJD",
        "data:image/png,QUJD",
        "data:image/png;base64",
        "data:image/png;" + "x" * 300 + ";base64,QUJD",
    ],
)
def test_a_data_uri_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidImage, match="data URI"):
        decoded(text)


@pytest.mark.parametrize("text", ["http://a/b.png", "HTTPS://a/b.png", " https://a/b.png"])
def test_urls_are_refused_and_said_not_to_be_fetched(text: str) -> None:
    with pytest.raises(InvalidImage, match="is a URL"):
        decoded(text)


def test_base64_of_more_than_allowed_is_refused_without_decoding_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ai.images.pybase64.b64decode", None)
    with pytest.raises(ImageTooLarge, match="1,001 bytes, at most 1,000"):
        decoded(pybase64.b64encode(bytes(1_001)))


def test_base64_of_just_what_is_allowed_is_taken_with_its_line_breaks() -> None:
    assert decoded(pybase64.encodebytes(bytes(1_000))) == bytes(1_000)
