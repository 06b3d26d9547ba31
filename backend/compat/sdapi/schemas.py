"""The WebUI's own bodies: its field names and defaults, its readiness to take "20" for 20.

Only what is this door's own is bounded here. Prompts, sizes, steps, seeds and the like are
checked by the models of the gateway's own API, which these are translated to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from ai.extras import MAX_CLIP_SKIP
from ai.generation import MAX_SEED, RANDOM_SEED
from backend.api.schemas import allowed_prompt
from backend.errors import FieldError, InvalidBody

Name = Annotated[str, StringConstraints(max_length=200)]
CheckpointName = Annotated[str, StringConstraints(max_length=500)]
Part = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Prompt = Annotated[str, StringConstraints(max_length=4000), AfterValidator(allowed_prompt)]
"""One beside the request's own, which has the gateway's bound."""
Sigma = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]


class LaxBody(BaseModel):
    """Takes what FastAPI takes: numbers in text, null for a default, fields it does not know."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_the_default(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {name: value for name, value in values.items() if value is not None}


class OverrideSettings(LaxBody):
    """The options a request may have its own way; all others are refused."""

    model_config = ConfigDict(extra="forbid")

    sd_model_checkpoint: CheckpointName | None = None
    CLIP_stop_at_last_layers: int | None = Field(None, ge=1, le=MAX_CLIP_SKIP)
    sd_vae: Name | None = None


class WebUIBody(LaxBody):
    """What txt2img and img2img have in common."""

    prompt: str = ""
    negative_prompt: str = ""
    steps: int = 50
    cfg_scale: float = 7.0
    width: int = 512
    height: int = 512
    seed: int = RANDOM_SEED
    subseed: int = Field(RANDOM_SEED, ge=RANDOM_SEED, le=MAX_SEED)
    subseed_strength: Part = 0.0
    sampler_name: str | None = None
    sampler_index: str = "Euler"
    scheduler: str | None = None
    batch_size: int = 1
    n_iter: int = Field(1, ge=1, le=100)
    denoising_strength: float = 0.75
    restore_faces: bool = False
    tiling: bool = False
    eta: Part | None = None
    s_churn: Sigma | None = None
    s_tmax: Sigma | None = None
    s_tmin: Sigma | None = None
    s_noise: Sigma | None = None
    s_min_uncond: Sigma | None = None
    send_images: bool = True
    override_settings: OverrideSettings = OverrideSettings()
    alwayson_scripts: dict[str, Any] = Field(default_factory=dict, max_length=50)


class WebUITxt2Img(WebUIBody):
    """Hires fields hold when `enable_hr` does; then `denoising_strength` is the second pass's."""

    enable_hr: bool = False
    hr_scale: float = Field(2.0, ge=1, le=16, allow_inf_nan=False)
    hr_upscaler: Name = "Latent"
    hr_second_pass_steps: int = Field(0, ge=0)
    hr_resize_x: int = Field(0, ge=0)
    hr_resize_y: int = Field(0, ge=0)
    hr_prompt: Prompt = ""
    hr_negative_prompt: Prompt = ""


class WebUIImg2Img(WebUIBody):
    """img2img, and with `mask` inpainting; `mask_blur` goes before its two halves."""

    init_images: Annotated[list[str], Field(min_length=1, max_length=1)] | None = None
    mask: str | None = None
    mask_blur: int | None = None
    mask_blur_x: int = 4
    mask_blur_y: int = 4
    inpainting_fill: int = Field(0, ge=0, le=3)
    inpaint_full_res: bool = True
    inpaint_full_res_padding: int = Field(0, ge=0, le=256)
    inpainting_mask_invert: bool = False
    resize_mode: int = Field(0, ge=0, le=3)


class ExtraSingleImage(LaxBody):
    """Enlarging: by `upscaling_resize` for resize_mode 0, to a size for 1."""

    image: str
    resize_mode: int = Field(0, ge=0, le=1)
    gfpgan_visibility: Part = 0.0
    codeformer_visibility: Part = 0.0
    codeformer_weight: Part = 0.0
    upscaling_resize: float = Field(2.0, ge=1, le=8, allow_inf_nan=False)
    upscaling_resize_w: int = Field(512, ge=1)
    upscaling_resize_h: int = Field(512, ge=1)
    upscaling_crop: bool = True
    upscaler_1: Name = "None"
    upscaler_2: Name = "None"
    extras_upscaler_2_visibility: Part = 0.0
    upscale_first: bool = False


class PngInfo(LaxBody):
    image: str


class Interrogate(LaxBody):
    image: str
    model: Name = "clip"


class Options(LaxBody):
    """POST options takes the checkpoint alone."""

    model_config = ConfigDict(extra="forbid")

    sd_model_checkpoint: CheckpointName | None = None


Body = TypeVar("Body", bound=BaseModel)


def validated(model: type[Body], values: Mapping[str, object], at: str = "") -> Body:
    """`values` as a `model`. Raises InvalidBody naming each wrong field, under the path `at`."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise InvalidBody(
            [
                FieldError(at + _path(item["loc"]), _message(item["type"], item["msg"]))
                for item in found
            ]
        ) from None


def _path(loc: tuple[int | str, ...]) -> str:
    return ".".join(map(str, loc)) or "body"


def _message(kind: str, message: str) -> str:
    plain = {"extra_forbidden": "is not offered here; leave it out", "missing": "Field required"}
    return plain.get(kind, message.removeprefix("Value error, "))
