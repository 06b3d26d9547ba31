"""A picture that a request is made with."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Picture:
    """A caller's picture after checking: bytes that every engine can read.

    `data` is a PNG or JPEG of `width` x `height` pixels, 8 bits a channel, grey or RGB,
    upright, without alpha.
    """

    data: bytes = field(repr=False)
    media_type: str
    width: int
    height: int
