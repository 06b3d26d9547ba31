"""What makes two requests the same: SHA-256 over all that shapes their pictures."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import orjson

from ai.generation import GenerationRequest
from backend.jobs.codec import written


def asked(request: GenerationRequest, **beside: object) -> str:
    """Of a request as it was asked, and of what was said `beside` it."""
    return _digest({**_shape(request), "beside": beside})


def made(request: GenerationRequest, checkpoint: str, checkpoint_hash: str) -> str:
    """Of a request and the very weights it is made with, whatever it called them."""
    return _digest({**_shape(request), "checkpoint": [checkpoint, checkpoint_hash]})


def _shape(request: GenerationRequest) -> dict[str, Any]:
    words = written(request, lambda picture: sha256(picture.data).hexdigest())
    return {"kind": request.kind, **words}


def _digest(values: Mapping[str, object]) -> str:
    return sha256(orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).hexdigest()
