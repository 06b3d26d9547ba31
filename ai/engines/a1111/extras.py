"""The extras of a request in the WebUI's own fields, each said or left to its default."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pybase64

from ai.extras import ControlUnit, DetailUnit, Extras, HiresFix
from ai.generation import GenerationRequest, Img2Img, Inpainting, Picture

NONE = Extras()
_NOISE = ("eta", "s_churn", "s_tmax", "s_tmin", "s_noise", "s_min_uncond")


def extra_fields(request: GenerationRequest) -> dict[str, Any]:
    """What the request adds to a body, of whatever kind it is."""
    extras = request.extras or NONE
    fields: dict[str, Any] = {
        "subseed": extras.subseed,
        "subseed_strength": extras.subseed_strength,
        "n_iter": extras.n_iter,
        "restore_faces": extras.restore_faces,
        "tiling": extras.tiling,
        "alwayson_scripts": _scripts(extras),
    }
    if extras is NONE:
        return fields
    noise = {name: getattr(extras, name) for name in _NOISE}
    return fields | {name: value for name, value in noise.items() if value is not None}


def hires_fields(extras: Extras | None) -> dict[str, Any]:
    """The second pass of a txt2img."""
    hires = extras.hires if extras else None
    return {"enable_hr": False} if hires is None else _hires(hires)


def picture_fields(request: Img2Img) -> dict[str, Any]:
    """How the picture of an img2img is fitted, and what its masked part starts from."""
    extras = request.extras or NONE
    fields: dict[str, Any] = {"resize_mode": extras.resize_mode}
    if isinstance(request, Inpainting):
        padding = extras.inpaint_full_res_padding if request.inpaint_full_res else 0
        fields |= {
            "inpainting_fill": extras.inpainting_fill,
            "inpaint_full_res": request.inpaint_full_res,
            "inpaint_full_res_padding": padding,
        }
    return fields


def encoded(picture: Picture) -> str:
    """Its bytes in bare base64."""
    return pybase64.b64encode(picture.data).decode("ascii")


def _hires(hires: HiresFix) -> dict[str, Any]:
    """The size is said in pixels, so that no rounding of a scale is left to the upstream."""
    return {
        "enable_hr": True,
        "hr_resize_x": hires.width,
        "hr_resize_y": hires.height,
        "hr_upscaler": hires.upscaler,
        "hr_second_pass_steps": hires.steps,
        "hr_prompt": hires.prompt,
        "hr_negative_prompt": hires.negative_prompt,
        "denoising_strength": hires.denoising_strength,
    }


def _scripts(extras: Extras) -> dict[str, Any]:
    scripts: dict[str, Any] = {}
    if extras.control:
        scripts["ControlNet"] = {"args": [_control(unit) for unit in extras.control]}
    if extras.details:
        scripts["ADetailer"] = {"args": [True, False, *map(_detail, extras.details)]}
    return scripts


def _control(unit: ControlUnit) -> dict[str, Any]:
    fields = asdict(unit) | {"enabled": True, "low_vram": False, "save_detected_map": False}
    for name in ("image", "mask"):
        picture = getattr(unit, name)
        fields[name] = encoded(picture) if picture else None
    return fields


def _detail(unit: DetailUnit) -> dict[str, Any]:
    return asdict(unit) | {"ad_tab_enable": True}
