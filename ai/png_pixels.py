"""Whether a PNG is as plain as most are, and all there: found without decoding a pixel."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import groupby

from isal import isal_zlib
from isal.igzip_lib import IsalError

_FIRST_CHUNK_AT = 8
_PLAIN_CHANNELS = {0: 1, 2: 3}
"""Channels by colour type, of those types that are plain: grey and RGB."""
_HARMLESS = frozenset(b"IHDR IDAT IEND sRGB gAMA cHRM iCCP sBIT pHYs bKGD tIME".split())
_TEXTS = frozenset({b"tEXt", b"iTXt"})
_MAY_HOLD_EXIF = (b"Raw profile", b"XML:")
"""Keywords of texts in which some programs say how a picture is to be turned."""
_KEYWORD_BYTES = 80
_MOST_FILTERS = 4
_READ_BYTES = 2**15
_UNPACKED_BYTES = 2**18


def is_plain_png(data: bytes) -> bool:
    """Whether a PNG that `examine` found sound is plain, and its pixels are all there.

    Plain is grey or RGB of 8 bits a channel, with no transparency, not interlaced, not animated,
    and with nothing that might say how it is to be turned. False where any of that is not
    certain: Pillow decides then. Takes half of what Pillow does, and no memory for the pixels.
    """
    width, height, depth, colour, _, _, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    channels = _PLAIN_CHANNELS.get(colour)
    if channels is None or depth != 8 or interlace:
        return False
    chunks = list(_chunks(data))
    if not all(_is_harmless(kind, body) for kind, body in chunks):
        return False
    runs = [kind for kind, _ in groupby(kind for kind, _ in chunks)]
    if runs.count(b"IDAT") != 1 or b"iCCP" in runs[runs.index(b"IDAT") :]:
        return False
    packed = [body for kind, body in chunks if kind == b"IDAT"]
    return _has_lines(packed, height, 1 + width * channels)


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    view, at = memoryview(data), _FIRST_CHUNK_AT
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, view[at + 8 : at + 8 + length]
        at += length + 12


def _is_harmless(kind: bytes, body: memoryview) -> bool:
    if kind not in _TEXTS:
        return kind in _HARMLESS
    keyword, nul, rest = bytes(body[:_KEYWORD_BYTES]).partition(b"\0")
    is_packed = kind == b"iTXt" and not rest.startswith(b"\0")
    return bool(nul) and not is_packed and not keyword.startswith(_MAY_HOLD_EXIF)


def _has_lines(packed: list[memoryview], count: int, line_bytes: int) -> bool:
    """Whether that unpacks to so many lines, each with a filter there is, and to nothing else."""
    unpacked = 0
    try:
        for piece in _unpacked(packed):
            filters = piece[-unpacked % line_bytes :: line_bytes]
            unpacked += len(piece)
            if unpacked > count * line_bytes or (filters and max(filters) > _MOST_FILTERS):
                return False
    except (IsalError, EOFError):  # type: ignore[misc]  # isal's stubs have an instance of it
        return False
    return unpacked == count * line_bytes


def _unpacked(packed: list[memoryview]) -> Iterator[bytes]:
    """Raises IsalError for what is broken, EOFError where it does not end with its end."""
    stream = isal_zlib.decompressobj()
    for body in packed:
        for start in range(0, len(body), _READ_BYTES):
            if stream.eof:
                raise EOFError
            unread: memoryview | bytes = body[start : start + _READ_BYTES]
            # Some is held back within, so that only an empty answer says that this is all.
            while piece := stream.decompress(unread, _UNPACKED_BYTES):
                yield piece
                unread = stream.unconsumed_tail
    if not stream.eof or stream.unused_data:
        raise EOFError
