"""How the same picture is asked for at each front door."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pybase64
from urllib3 import encode_multipart_formdata

from bench.load import Request
from tests.running import API

PROMPT = "a red circle on a blue background"

TextToImage = Callable[[int], Request]
"""A request for a picture of so many pixels a side."""


def ours(side: int) -> Request:
    """Of Sluice's own API, and of the plain Flask version."""
    return Request(f"{API}/txt2img", _json({"prompt": PROMPT, "width": side, "height": side}))


def webui(side: int) -> Request:
    asked = {
        "prompt": PROMPT,
        "width": side,
        "height": side,
        "steps": 20,
        "sampler_name": "Euler a",
    }
    return Request("/sdapi/v1/txt2img", _json(asked))


def openai(side: int, model: str | None = None) -> Request:
    """`model` None leaves the choice to whoever is asked."""
    asked: dict[str, object] = {
        "prompt": PROMPT,
        "n": 1,
        "size": f"{side}x{side}",
        "response_format": "b64_json",
    }
    if model is not None:
        asked["model"] = model
    return Request("/v1/images/generations", _json(asked))


def webui_img2img(picture: bytes, side: int) -> Request:
    """With `picture`, a PNG, in JSON, and a result of `side` x `side`."""
    asked = {
        "prompt": PROMPT,
        "init_images": [_base64(picture)],
        "width": side,
        "height": side,
        "sampler_name": "Euler a",
        "denoising_strength": 0.75,
    }
    return Request("/sdapi/v1/img2img", _json(asked))


def ours_img2img(picture: bytes, side: int) -> Request:
    asked = {"prompt": PROMPT, "image": _base64(picture), "width": side, "height": side}
    return Request(f"{API}/img2img", _json(asked))


def ours_img2img_form(picture: bytes, side: int) -> Request:
    fields: dict[str, str | bytes | tuple[str, str | bytes, str]] = {
        "prompt": PROMPT,
        "width": str(side),
        "height": str(side),
        "image": ("picture.png", picture, "image/png"),
    }
    body, content_type = encode_multipart_formdata(fields)
    return Request(f"{API}/img2img", body, headers={"Content-Type": content_type})


def _base64(picture: bytes) -> str:
    return pybase64.b64encode(picture).decode()


def _json(asked: dict[str, object]) -> bytes:
    return orjson.dumps(asked)
