"""A request of ours as the WebUI's own body: every field said, nothing passed through."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ai.engines.a1111.choice import Choice
from ai.engines.a1111.extras import encoded, extra_fields, hires_fields, picture_fields
from ai.engines.a1111.facts import CLIP_SKIP, VAE
from ai.errors import InvalidRequest
from ai.extras import Extras
from ai.generation import GenerationRequest, Img2Img, Inpainting

PATHS = {"txt2img": "txt2img", "img2img": "img2img", "inpainting": "img2img"}
"""Where each kind is asked for; inpainting is img2img with a mask."""

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_SDCPP_ARGUMENTS = re.compile(r"</?sd_cpp_extra_args>", re.IGNORECASE)


def payload(
    request: GenerationRequest, choice: Choice, *, options: Mapping[str, object] | None
) -> dict[str, Any]:
    """The body to send. `options` are those the upstream lets a request override, with the
    values it has them at; None where it can be told nothing, not even a checkpoint.

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
        "seed_resize_from_w": -1,
        "seed_resize_from_h": -1,
        "sampler_name": choice.spelling,
        "scheduler": choice.scheduler,
        "batch_size": request.batch_size,
        "do_not_save_samples": True,
        "do_not_save_grid": True,
        "send_images": True,
        "save_images": False,
        "script_args": [],
        "override_settings": {} if options is None else _overrides(choice, request.extras, options),
        "override_settings_restore_afterwards": True,
        **extra_fields(request),
    }
    if options is None:
        # stable-diffusion.cpp knows of no n_iter, and makes a batch one by one.
        body |= {"batch_size": request.image_count, "n_iter": 1}
    if isinstance(request, Img2Img):
        return body | _img2img(request)
    return body | hires_fields(request.extras)


def _overrides(
    choice: Choice, extras: Extras | None, options: Mapping[str, object]
) -> dict[str, object]:
    """Said each time: an option that an upstream was never told stays as the last caller had it."""
    overrides = dict(options)
    if choice.checkpoint:
        overrides["sd_model_checkpoint"] = choice.checkpoint.name
    if extras and extras.clip_skip is not None and CLIP_SKIP in options:
        overrides[CLIP_SKIP] = extras.clip_skip
    if extras and extras.vae is not None and VAE in options:
        overrides[VAE] = extras.vae
    return overrides


def _img2img(request: Img2Img) -> dict[str, Any]:
    body: dict[str, Any] = {
        "init_images": [encoded(request.image)],
        "include_init_images": False,
        "denoising_strength": request.denoising_strength,
        **picture_fields(request),
    }
    return body | _inpainting(request) if isinstance(request, Inpainting) else body


def _inpainting(request: Inpainting) -> dict[str, Any]:
    return {
        "mask": encoded(request.mask),
        "mask_blur": request.mask_blur,
        "inpainting_mask_invert": 0,
    }


def _require_sendable(field: str, text: str) -> None:
    if _SDCPP_ARGUMENTS.search(text):
        raise InvalidRequest(field, "must not hold <sd_cpp_extra_args>")
    if _LONE_SURROGATE.search(text):
        raise InvalidRequest(field, "must be whole Unicode characters")
