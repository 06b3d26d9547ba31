"""alwayson_scripts: the units of the two extensions that are let through, field by field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, StringConstraints, field_validator

from ai.extras import ControlUnit, DetailUnit
from ai.generation import Picture
from ai.images import read_mask, read_picture
from backend.compat.sdapi.schemas import LaxBody, Part, Prompt, validated
from backend.errors import FieldError, InvalidBody
from backend.pictures import CallerPictures

Unit = TypeVar("Unit")
MAX_UNITS = 3
"""Of each kind in one request: as many as ControlNet's own page has."""
BareName = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^/\\:\x00-\x1f]*$")]
"""A file's name alone: ADetailer loads weights from any path it is told."""
Pixels = Annotated[int, Field(ge=-4096, le=4096)]
Threshold = Annotated[float, Field(ge=-1, le=2048, allow_inf_nan=False)]

_RESIZE_MODES = ("Just Resize", "Crop and Resize", "Resize and Fill")
_CONTROL_MODES = ("Balanced", "My prompt is more important", "ControlNet is more important")
_HR_OPTIONS = ("Both", "Low res only", "High res only")


class ControlNetUnit(LaxBody):
    """One of ControlNet's units; modes by name or number, as its API takes them."""

    enabled: bool = True
    image: str | dict[str, Any] | None = None
    input_image: str | None = None
    mask: str | None = None
    module: BareName = "none"
    model: BareName = "None"
    weight: float = Field(1.0, ge=0, le=2, allow_inf_nan=False)
    resize_mode: Literal["Just Resize", "Crop and Resize", "Resize and Fill"] = "Crop and Resize"
    control_mode: Literal[
        "Balanced", "My prompt is more important", "ControlNet is more important"
    ] = "Balanced"
    processor_res: int = Field(512, ge=-1, le=2048)
    threshold_a: Threshold = 64
    threshold_b: Threshold = 64
    guidance_start: Part = 0.0
    guidance_end: Part = 1.0
    pixel_perfect: bool = False
    hr_option: Literal["Both", "Low res only", "High res only"] = "Both"

    @field_validator("resize_mode", "control_mode", "hr_option", mode="before")
    @classmethod
    def _by_number(cls, value: Any, info: Any) -> Any:
        names = {
            "resize_mode": _RESIZE_MODES,
            "control_mode": _CONTROL_MODES,
            "hr_option": _HR_OPTIONS,
        }[info.field_name]
        is_number = isinstance(value, int) and 0 <= value < len(names)
        return names[value] if is_number else _old_name(value)


class ADetailerUnit(LaxBody):
    """One of ADetailer's units, but for what would load other weights or other scripts."""

    ad_tab_enable: bool = True
    ad_model: BareName = "None"
    ad_model_classes: Annotated[str, StringConstraints(max_length=200)] = ""
    ad_prompt: Prompt = ""
    ad_negative_prompt: Prompt = ""
    ad_confidence: Part = 0.3
    ad_mask_k_largest: int = Field(0, ge=0, le=10)
    ad_mask_min_ratio: Part = 0.0
    ad_mask_max_ratio: Part = 1.0
    ad_dilate_erode: int = Field(4, ge=-128, le=128)
    ad_x_offset: Pixels = 0
    ad_y_offset: Pixels = 0
    ad_mask_merge_invert: Literal["None", "Merge", "Merge and Invert"] = "None"
    ad_mask_blur: int = Field(4, ge=0, le=64)
    ad_denoising_strength: Part = 0.4
    ad_inpaint_only_masked: bool = True
    ad_inpaint_only_masked_padding: int = Field(32, ge=0, le=256)
    ad_use_inpaint_width_height: Literal[False] = False
    ad_use_steps: Literal[False] = False
    ad_use_cfg_scale: Literal[False] = False
    ad_use_checkpoint: Literal[False] = False
    ad_use_vae: Literal[False] = False
    ad_use_sampler: Literal[False] = False
    ad_use_noise_multiplier: Literal[False] = False
    ad_use_clip_skip: Literal[False] = False
    ad_restore_face: Literal[False] = False
    ad_controlnet_model: Literal["None"] = "None"


def units_of(
    scripts: Mapping[str, Any], pictures: CallerPictures
) -> tuple[tuple[ControlUnit, ...], tuple[DetailUnit, ...]]:
    """The units that are switched on. Raises InvalidBody or InvalidImage.

    Of other scripts only their switched-off state is taken: no arguments, or False first.
    """
    control: tuple[ControlUnit, ...] = ()
    details: tuple[DetailUnit, ...] = ()
    for name, script in scripts.items():
        at = f"alwayson_scripts.{name}"
        arguments = _arguments(script, at)
        if name.lower() == "controlnet":
            control = tuple(_read(arguments, at, lambda unit, at: _control(unit, at, pictures)))
        elif name.lower() == "adetailer":
            details = () if arguments[:1] == [False] else tuple(_read(arguments, at, _detail))
        elif arguments and arguments[0] is not False:
            raise InvalidBody([FieldError(at, "is not offered here; leave it out")])
    return control, details


def _read(
    arguments: list[Any], at: str, read: Callable[[dict[str, Any], str], Unit | None]
) -> list[Unit]:
    """Bare truths beside the units are switches of the script's own, and not needed."""
    found = []
    for number, argument in enumerate(arguments):
        path = f"{at}.args.{number}"
        if isinstance(argument, bool | None):
            continue
        if not isinstance(argument, dict):
            raise InvalidBody([FieldError(path, "must be an object")])
        found.append(read(argument, f"{path}."))
    units = [unit for unit in found if unit is not None]
    if len(units) > MAX_UNITS:
        raise InvalidBody([FieldError(f"{at}.args", f"at most {MAX_UNITS} units are taken")])
    return units


def _arguments(script: Any, at: str) -> list[Any]:
    arguments: Any = script.get("args", []) if isinstance(script, dict) else None
    if not isinstance(arguments, list):
        raise InvalidBody([FieldError(f"{at}.args", "must be a list")])
    return arguments


def _control(values: dict[str, Any], at: str, pictures: CallerPictures) -> ControlUnit | None:
    unit = validated(ControlNetUnit, values, at)
    if not unit.enabled:
        return None
    image, mask = unit.image or unit.input_image, unit.mask
    if isinstance(image, dict):
        layers = image
        image, mask = layers.get("image"), layers.get("mask") or mask
    words = unit.model_dump(exclude={"enabled", "image", "input_image", "mask"})
    return ControlUnit(
        **words,
        image=_picture(image, f"{at}image", pictures, read_picture),
        mask=_picture(mask, f"{at}mask", pictures, read_mask),
    )


def _detail(values: dict[str, Any], at: str) -> DetailUnit | None:
    unit = validated(ADetailerUnit, values, at)
    if not unit.ad_tab_enable or unit.ad_model == "None":
        return None
    return DetailUnit(**unit.model_dump(include=set(DetailUnit.__dataclass_fields__)))


def _picture(
    text: Any, field: str, pictures: CallerPictures, read: Callable[..., Picture]
) -> Picture | None:
    if not text:
        return None
    if not isinstance(text, str):
        raise InvalidBody([FieldError(field, "must be base64 text or a data URI")])
    return read(pictures.read(text, field), field=field, limits=pictures.limits)


def _old_name(value: Any) -> Any:
    """ControlNet's modes as they were called before its 1.1."""
    old = {
        "Scale to Fit (Inner Fit)": "Crop and Resize",
        "Envelope (Outer Fit)": "Resize and Fill",
    }
    return old.get(value, value) if isinstance(value, str) else value
