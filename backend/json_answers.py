"""JSON with pictures in it, written without reading them: megabytes of base64 need no escaping."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

_OWN_CLASSES = orjson.OPT_PASSTHROUGH_DATACLASS
_MARK = f"@{uuid.uuid4().hex}@"
"""Stands for a picture while the rest is written; no caller can know it."""
_MARK_BYTES = _MARK.encode()


@dataclass(frozen=True, slots=True)
class Base64:
    """A value in an answer: base64 as its engine sent it, after `prefix` ("data:...;base64,")."""

    data: bytes = field(repr=False)
    prefix: str = ""


def json_pieces(answer: Mapping[str, object]) -> list[bytes]:
    """`answer` as JSON, in pieces that follow each other. Base64 may stand anywhere in it."""
    pictures: list[bytes] = []

    def marked(value: object) -> str:
        if not isinstance(value, Base64):
            raise TypeError(f"{type(value).__name__} is not for JSON")
        pictures.append(value.data)
        return value.prefix + _MARK

    first, *others = orjson.dumps(answer, marked, _OWN_CLASSES).split(_MARK_BYTES)
    pieces = [first]
    for picture, other in zip(pictures, others, strict=True):
        pieces += (picture, other)
    return pieces
