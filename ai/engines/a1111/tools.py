"""The WebUI's tools, which take its one lock as generations do: bodies to send, answers to read."""

from __future__ import annotations

from typing import Any

import orjson
import pybase64

from ai.engines.a1111.extras import encoded
from ai.errors import WrongResult
from ai.generation import GeneratedImage, Generation
from ai.image_files import inspect_image
from ai.tools import CAPTION, Caption, Tool, ToolKind, Upscale

PATHS: dict[ToolKind, str] = {"upscale": "extra-single-image", "caption": "interrogate"}
_BY_SCALE, _TO_SIZE = 0, 1
_MAX_CAPTION_CHARS = 10_000


def tool_payload(tool: Tool) -> dict[str, Any]:
    """The body to send to the path of its kind."""
    if isinstance(tool, Upscale):
        return _upscale(tool)
    assert isinstance(tool, Caption)
    return {"image": encoded(tool.image), "model": tool.model}


def read_tool_answer(engine: str, tool: Tool, body: bytes) -> Generation:
    """The picture or the words in a 200. Raises WrongResult."""
    try:
        answer = orjson.loads(body)
        if isinstance(tool, Upscale):
            return _made((_picture(answer["image"]),), {})
        return _made((), {CAPTION: str(answer["caption"])[:_MAX_CAPTION_CHARS]})
    except (ValueError, KeyError, TypeError) as error:
        raise WrongResult(engine, f"{engine} sent an answer that cannot be read") from error


def _upscale(tool: Upscale) -> dict[str, Any]:
    return {
        "image": encoded(tool.image),
        "resize_mode": _TO_SIZE if tool.scale is None else _BY_SCALE,
        "show_extras_results": False,
        "upscaling_resize": tool.scale or 1,
        "upscaling_resize_w": tool.width,
        "upscaling_resize_h": tool.height,
        "upscaling_crop": tool.crop,
        "upscaler_1": tool.upscaler_1,
        "upscaler_2": tool.upscaler_2,
        "extras_upscaler_2_visibility": tool.extras_upscaler_2_visibility,
        "gfpgan_visibility": tool.gfpgan_visibility,
        "codeformer_visibility": tool.codeformer_visibility,
        "codeformer_weight": tool.codeformer_weight,
        "upscale_first": tool.upscale_first,
    }


def _made(images: tuple[GeneratedImage, ...], parameters: dict[str, object]) -> Generation:
    return Generation(images, checkpoint=None, checkpoint_hash=None, parameters=parameters)


def _picture(text: str) -> GeneratedImage:
    bare = text.partition(",")[2] if text.startswith("data:") else text
    data = pybase64.b64decode(bare, validate=True)
    found = inspect_image(data)
    return GeneratedImage(data, found.media_type, found.width, found.height, seed=0)
