"""A request of ours as the WebUI's own body: every field said, nothing passed through."""

from __future__ import annotations

import re
from typing import Any

import pybase64

from ai.engines.a1111_choice import Choice
from ai.errors import InvalidRequest
from ai.generation import GenerationRequest, Img2Img, Inpainting, Picture

PATHS = {"txt2img": "txt2img", "img2img": "img2img", "inpainting": "img2img"}
"""Where each kind is asked for; inpainting is img2img with a mask."""

_RESIZE_TO_FIT = 0
_KEEP_ORIGINAL = 1
"""inpainting_fill: start from what is under the mask, not from a smear of its surroundings."""
_ONLY_MASKED_PADDING = 32
"""Pixels of context around the mask when only its region is painted: the WebUI's own default."""
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_SDCPP_ARGUMENTS = re.compile(r"</?sd_cpp_extra_args>", re.IGNORECASE)


def payload(request: GenerationRequest, choice: Choice, *, may_switch: bool) -> dict[str, Any]:
    """The body to send. `may_switch` says whether the upstream can be told a checkpoint.

    Raises InvalidRequest for a prompt that stable-diffusion.cpp would read as settings, or
    that no JSON can hold.
    """
    _require_sendable("prompt", request.prompt)
    _require_sendable("negative_prompt", request.negative_prompt)
    body = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "styles": [],
        "steps": request.steps,
        "cfg_scale": request.cfg_scale,
        "width": request.width,
        "height": request.height,
        "seed": request.seed,
        "subseed": -1,
        "subseed_strength": 0,
        "seed_resize_from_w": -1,
        "seed_resize_from_h": -1,
        "sampler_name": choice.spelling,
        "scheduler": choice.scheduler,
        "batch_size": request.batch_size,
        "n_iter": 1,
        "restore_faces": False,
        "tiling": False,
        "do_not_save_samples": True,
        "do_not_save_grid": True,
        "send_images": True,
        "save_images": False,
        "script_args": [],
        "alwayson_scripts": {},
        "override_settings": _overrides(choice) if may_switch else {},
        "override_settings_restore_afterwards": True,
    }
    if isinstance(request, Img2Img):
        return body | _img2img(request)
    return body | {"enable_hr": False}


def _overrides(choice: Choice) -> dict[str, str]:
    return {"sd_model_checkpoint": choice.checkpoint.name} if choice.checkpoint else {}


def _img2img(request: Img2Img) -> dict[str, Any]:
    body: dict[str, Any] = {
        "init_images": [_base64(request.image)],
        "include_init_images": False,
        "denoising_strength": request.denoising_strength,
        "resize_mode": _RESIZE_TO_FIT,
    }
    return body | _inpainting(request) if isinstance(request, Inpainting) else body


def _inpainting(request: Inpainting) -> dict[str, Any]:
    return {
        "mask": _base64(request.mask),
        "mask_blur": request.mask_blur,
        "inpainting_fill": _KEEP_ORIGINAL,
        "inpaint_full_res": request.inpaint_full_res,
        "inpaint_full_res_padding": _ONLY_MASKED_PADDING if request.inpaint_full_res else 0,
        "inpainting_mask_invert": 0,
    }


def _base64(picture: Picture) -> str:
    return pybase64.b64encode(picture.data).decode("ascii")


def _require_sendable(field: str, text: str) -> None:
    if _SDCPP_ARGUMENTS.search(text):
        raise InvalidRequest(field, "must not hold <sd_cpp_extra_args>")
    if _LONE_SURROGATE.search(text):
        raise InvalidRequest(field, "must be whole Unicode characters")
