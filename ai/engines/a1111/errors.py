"""What a WebUI's answer other than 200 means.

    401, 403                        EngineRefused, naming our credentials
    404 {"detail": "Not Found"}     EngineUnavailable: the API's routes are not there yet
    404, no `detail` of a WebUI     EngineUnavailable: something else listens there
    404 {"detail": "Init image..."} EngineRefused
    429, 503                        EngineUnavailable: it did not take the request
    502, 504                        EngineLost: a proxy between lost sight of it
    other 4xx, 3xx, 1xx, 2xx        EngineRefused
    5xx OutOfMemoryError, or "out of memory" anywhere in it   EngineOutOfMemory
    5xx NansException               EngineMadeNan
    other 5xx                       EngineFailed

A bad picture ("Invalid encoded image", OSError) is a 500 and so EngineFailed: ours were
checked before they were sent. Forge, Automatic1111 and sd.cpp put the words in different
fields, so the body is searched as text.
"""

from __future__ import annotations

import logging
import re

import orjson

from ai.engines.a1111.client import Reply
from ai.errors import (
    EngineError,
    EngineFailed,
    EngineLost,
    EngineMadeNan,
    EngineOutOfMemory,
    EngineRefused,
    EngineUnavailable,
)

_log = logging.getLogger(__name__)

_SEARCHED_BYTES = 64 * 1024
_LOGGED_CHARS = 200
_OUT_OF_MEMORY = re.compile(rb"OutOfMemoryError|out of memory", re.IGNORECASE)
_NAN = re.compile(rb"NansException")


def error_for(engine: str, reply: Reply) -> EngineError:
    """The error that `reply` means; the upstream's own words go to the debug log alone."""
    _log.debug(
        "upstream answered with an error",
        extra={"engine": engine, "status": reply.status, "excerpt": _excerpt(reply.body)},
    )
    if reply.status in (401, 403):
        return EngineRefused(
            engine, f"{engine} refuses the gateway's credentials: set them in its address"
        )
    if reply.status == 404 and not _is_about_the_request(reply.body):
        return EngineUnavailable(engine, f"{engine} does not offer its API (yet)")
    if reply.status in (429, 503):
        return EngineUnavailable(engine, f"{engine} takes no requests now")
    if reply.status in (502, 504):
        return EngineLost(engine, f"a proxy before {engine} lost it")
    if reply.status >= 500:
        return _crash(engine, reply.body[:_SEARCHED_BYTES])
    if 300 <= reply.status < 400:
        return EngineRefused(engine, f"{engine} redirects elsewhere: its address is not set right")
    return EngineRefused(engine, f"{engine} refused the request with status {reply.status}")


def _crash(engine: str, body: bytes) -> EngineError:
    if _OUT_OF_MEMORY.search(body):
        return EngineOutOfMemory(engine, f"{engine} ran out of memory: ask for a smaller picture")
    if _NAN.search(body):
        return EngineMadeNan(engine, f"{engine} made no picture: its numbers overflowed")
    return EngineFailed(engine, f"{engine} failed while making the picture")


def _is_about_the_request(body: bytes) -> bool:
    """Whether a 404 comes from the API itself and not from there being none."""
    try:
        detail = orjson.loads(body)["detail"]
    except (orjson.JSONDecodeError, TypeError, KeyError, IndexError):
        return False
    return isinstance(detail, str) and detail != "Not Found"


def _excerpt(body: bytes) -> str:
    text = body[: _LOGGED_CHARS * 4].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else " " for char in text)[:_LOGGED_CHARS]
