"""Idempotency-Key on the wire, and Cache-Control, as far as they ask for the same again."""

from __future__ import annotations

import re

from flask import Request

from ai.generation import GenerationRequest
from backend.api.schemas import GenerationBody
from backend.errors import InvalidIdempotencyKey
from backend.jobs import fingerprints
from backend.jobs.records import Claim

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_KEY = re.compile(r"[ -~]{1,255}")
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
"""A string as structured fields have it (RFC 9651): the header's standard form."""


def claim_of(
    request: Request, body: GenerationBody, asked: GenerationRequest, *, status: int
) -> Claim | None:
    """What the caller's Idempotency-Key claims; None without one.

    What answers differently is another request under the same key: other pictures, another
    response_format, asynchronous or not. Raises InvalidIdempotencyKey.
    """
    key = key_of(request)
    if key is None:
        return None
    words = body.model_dump(mode="json", exclude={"image", "mask"})
    return Claim(key, fingerprints.asked(asked, body=words, status=status), status)


def key_of(request: Request) -> str | None:
    """The key, quoted or bare, which is the same. Raises InvalidIdempotencyKey."""
    text = request.headers.get(HEADER)
    if text is None:
        return None
    quoted = _QUOTED.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    if not _KEY.fullmatch(key):
        raise InvalidIdempotencyKey(f"{HEADER} must be 1 to 255 printable ASCII characters.")
    return key


def wants_fresh(request: Request) -> bool:
    """Whether the caller will have nothing that was made before (RFC 9111, no-cache)."""
    return bool(request.cache_control.no_cache)
