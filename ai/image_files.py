"""What an image file says of itself: read from its structure, with no pixel decoded."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from isal import isal_zlib

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_BIT_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""The bit depths that the PNG specification allows for each colour type."""
_PNG_MAX_SIDE = 2**31 - 1
_PNG_MAX_CHUNKS = 65_536
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers that open a frame, and so hold the size: SOF0 to SOF15 but DHT, JPG and DAC."""
_JPEG_START_OF_SCAN = 0xDA
_JPEG_END = b"\xff\xd9"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_JPEG_MAX_SEGMENTS = 1_024
_JPEG_MAX_SCANS = 64
"""A picture saved progressively has about ten; thousands are there to burn the decoder's time."""
_WEBP_FRAMES = frozenset({b"VP8 ", b"VP8L", b"ANMF"})


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What an image file says: its media type, and its size in pixels."""

    media_type: str
    width: int
    height: int


def sniff(data: bytes) -> str | None:
    """The media type that the first 16 bytes announce: PNG, JPEG, WebP or GIF, else None."""
    if data.startswith(_PNG_MAGIC):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return None


def sniff_whole(head: bytes, tail: bytes, size_bytes: int) -> str | None:
    """The media type of a PNG, JPEG or WebP file whose two ends are as they should be.

    `head` is its first 16 bytes, `tail` its last 12. None where it was cut or its end never
    reached the disk; what lies between the ends is not looked at.
    """
    media_type = sniff(head)
    ends_well = {
        "image/png": tail == _PNG_END,
        "image/jpeg": tail.endswith(_JPEG_END),
        "image/webp": int.from_bytes(head[4:8], "little") + 8 == size_bytes,
    }
    return media_type if media_type and ends_well.get(media_type) else None


def inspect_image(data: bytes) -> ImageInfo:
    """Check that a PNG, JPEG or WebP file is whole and has nothing after its end.

    Every byte of a PNG is checked by its CRCs; of a JPEG or WebP only the structure is, so
    that a cut is found and a flipped bit may not be. Costs about 0.2 ms for a PNG of 0.5 MB.
    Raises ValueError.
    """
    info, is_whole = examine(data)
    if not is_whole:
        raise ValueError("the file does not end where its picture does")
    return info


def examine(data: bytes) -> tuple[ImageInfo, bool]:
    """What a PNG, JPEG, WebP or GIF file says, and whether it ends where its picture does.

    The second is always False for a GIF, which is not followed to its end. Raises
    ValueError for anything broken, cut short or of another kind.
    """
    media_type = sniff(data)
    try:
        if media_type == "image/png":
            width, height, end = _examine_png(data)
        elif media_type == "image/jpeg":
            width, height, end = _examine_jpeg(data)
        elif media_type == "image/webp":
            width, height, end = _examine_webp(data)
        elif media_type == "image/gif":
            width, height = struct.unpack_from("<HH", data, 6)
            end = 0
        else:
            raise ValueError("not a PNG, JPEG, WebP or GIF file")
    except (struct.error, IndexError) as error:
        raise ValueError("cut short") from error
    if width < 1 or height < 1:
        raise ValueError("an image without pixels")
    return ImageInfo(media_type, width, height), end == len(data)


def _examine_png(data: bytes) -> tuple[int, int, int]:
    view = memoryview(data)
    kinds: list[bytes] = []
    offset = len(_PNG_MAGIC)
    while not kinds or kinds[-1] != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, offset)
        body_end = offset + 8 + length
        (checksum,) = struct.unpack_from(">I", data, body_end)
        if isal_zlib.crc32(view[offset + 4 : body_end]) != checksum:
            raise ValueError("a PNG chunk does not match its checksum")
        kinds.append(kind)
        if len(kinds) > _PNG_MAX_CHUNKS:
            raise ValueError("too many PNG chunks")
        offset = body_end + 4
    if kinds[0] != b"IHDR" or kinds.count(b"IHDR") != 1 or b"IDAT" not in kinds:
        raise ValueError("a PNG without a header or without pixels")
    width, height = _png_header(data, has_palette=b"PLTE" in kinds)
    return width, height, offset


def _png_header(data: bytes, *, has_palette: bool) -> tuple[int, int]:
    length, _, width, height, depth, colour, compression, filtering, interlace = struct.unpack_from(
        ">I4sIIBBBBB", data, len(_PNG_MAGIC)
    )
    makes_sense = (
        length == 13
        and max(width, height) <= _PNG_MAX_SIDE
        and depth in _PNG_BIT_DEPTHS.get(colour, ())
        and (compression, filtering) == (0, 0)
        and interlace in (0, 1)
        and (has_palette or colour != 3)
    )
    if not makes_sense:
        raise ValueError("a PNG header that makes no sense")
    return width, height


def _examine_jpeg(data: bytes) -> tuple[int, int, int]:
    if data.count(b"\xff\xda") > _JPEG_MAX_SCANS:
        raise ValueError("too many JPEG scans")
    size: tuple[int, int] | None = None
    offset = 2
    for _ in range(_JPEG_MAX_SEGMENTS):
        prefix, marker, length = struct.unpack_from(">BBH", data, offset)
        if prefix == marker == 0xFF:
            offset += 1
            continue
        if prefix != 0xFF or length < 2 or 0xD0 <= marker <= 0xD9 or marker <= 1:
            raise ValueError("a JPEG segment that makes no sense")
        if marker in _JPEG_FRAMES:
            if size is not None:
                raise ValueError("a JPEG with two frames")
            height, width = struct.unpack_from(">HH", data, offset + 5)
            size = width, height
        offset += 2 + length
        if marker == _JPEG_START_OF_SCAN:
            break
    else:
        raise ValueError("too many JPEG segments")
    if size is None or offset >= len(data) - len(_JPEG_END):
        raise ValueError("a JPEG without a frame or without pixels")
    return *size, len(data) if data.endswith(_JPEG_END) else 0


def _examine_webp(data: bytes) -> tuple[int, int, int]:
    (riff_size,) = struct.unpack_from("<I", data, 4)
    end = riff_size + 8
    if end > len(data):
        raise ValueError("cut short")
    sizes: dict[bytes, tuple[int, int]] = {}
    offset = 12
    while offset < end:
        kind, length = struct.unpack_from("<4sI", data, offset)
        if kind in _WEBP_FRAMES or kind == b"VP8X":
            sizes.setdefault(kind, _webp_chunk_size(kind, data[offset + 8 : offset + 20]))
        offset += 8 + length + length % 2
    if offset != end:
        raise ValueError("a WebP chunk that is cut short")
    if not sizes.keys() & _WEBP_FRAMES:
        raise ValueError("a WebP without pixels")
    return *next(iter(sizes.values())), end


def _webp_chunk_size(kind: bytes, body: bytes) -> tuple[int, int]:
    if kind == b"VP8L":
        signature, bits = struct.unpack_from("<BI", body)
        if signature != 0x2F:
            raise ValueError("a WebP chunk that makes no sense")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        start_code, width, height = struct.unpack_from("<3x3sHH", body)
        if start_code != b"\x9d\x01\x2a":
            raise ValueError("a WebP chunk that makes no sense")
        return width & 0x3FFF, height & 0x3FFF
    # VP8X holds flags and then the canvas, ANMF a place and then the frame.
    width_low, width_high, height_low, height_high = struct.unpack_from(
        "<4xHBHB" if kind == b"VP8X" else "<6xHBHB", body
    )
    return (width_high << 16 | width_low) + 1, (height_high << 16 | height_low) + 1
