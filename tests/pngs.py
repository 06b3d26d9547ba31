"""PNG files put together by hand, from kinds of chunk that no encoder would write."""

from __future__ import annotations

import struct
import zlib

MAGIC = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def header(
    width: int = 1, height: int = 1, depth: int = 8, colour: int = 0, interlace: int = 0
) -> bytes:
    shape = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return chunk(b"IHDR", shape)


END = chunk(b"IEND", b"")


def png(*chunks: bytes) -> bytes:
    return MAGIC + b"".join(chunks)


def with_checksums(data: bytearray) -> bytes:
    """A changed PNG with its checksums made right, so that the change gets further in."""
    offset = len(MAGIC)
    while data.startswith(b"\x89PNG") and offset + 12 <= len(data):
        end = offset + 8 + int.from_bytes(data[offset : offset + 4])
        data[end : end + 4] = zlib.crc32(data[offset + 4 : end]).to_bytes(4)
        offset = end + 4
    return bytes(data)
