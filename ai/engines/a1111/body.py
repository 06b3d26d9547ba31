"""Reading a WebUI's answer of megabytes, nearly all of it base64."""

from __future__ import annotations

from typing import Any

import orjson

_OPENING = b'{"images":["'


def read_object(body: bytes) -> dict[str, Any] | None:
    """What orjson.loads makes of `body` if that is an object, else None; `images` may be bytes.

    The WebUI and sd.cpp send the pictures first. Those are cut out as they stand, unread, and
    the rest alone is parsed: 0.1 ms instead of 2 ms for a picture of 1024x1024.
    """
    try:
        value = _cut(body) if body.startswith(_OPENING) else orjson.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _cut(body: bytes) -> object:
    """Anything but plain strings in compact JSON is left to the parser."""
    images = []
    start = len(_OPENING)
    while True:
        end = body.find(b'"', start)
        if end < 0 or body.find(b"\\", start, end) >= 0:
            return orjson.loads(body)
        images.append(body[start:end])
        if not body.startswith(b',"', end + 1):
            break
        start = end + 3
    if not body.startswith(b"]", end + 1):
        return orjson.loads(body)
    rest = orjson.loads(b'{"images":[]' + body[end + 2 :])
    return {**rest, "images": images}
