"""From the WebUI's bodies to our own requests, by way of the gateway's own checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

from PIL import Image, ImageOps
from werkzeug.exceptions import NotFound

from ai.extras import Extras, HiresFix
from ai.generation import SIZE_STEP, GenerationRequest
from ai.images import read_mask
from backend.api.schemas import BodyModels, GenerationBody, Img2ImgBody, InpaintingBody, Txt2ImgBody
from backend.api.translate import request_of
from backend.bounds import Bounds
from backend.compat.sdapi.facts import Facts
from backend.compat.sdapi.schemas import WebUIBody, WebUIImg2Img, WebUITxt2Img
from backend.compat.sdapi.units import units_of
from backend.errors import FieldError, InvalidBody
from backend.pictures import CallerPictures

NO_WORDS = " "
"""A WebUI takes an empty prompt; this means the same to every engine."""
NO_PICTURE = "Init image not found"
"""What a WebUI says, word for word."""
LEAST_STRENGTH = 0.001
"""A WebUI takes 0 and one step then, as it does for this."""
_NEUTRAL_NOISE: Mapping[str, float] = {
    "s_churn": 0.0,
    "s_tmax": 0.0,
    "s_tmin": 0.0,
    "s_noise": 1.0,
    "s_min_uncond": 0.0,
}
"""What clients send for "as usual"."""
_USUAL_ETA = 1.0
"""Of the samplers that add noise; DDIM and PLMS add none unless told."""


@dataclass(frozen=True, slots=True)
class Translator:
    """Reads bodies within `bounds`, which `models` hold too; names are checked against `facts`."""

    bounds: Bounds
    models: BodyModels
    pictures: CallerPictures
    facts: Facts

    def request_of(self, body: WebUIBody, chosen: str | None) -> GenerationRequest:
        """What `body` asks for, with the caller's `chosen` checkpoint where it names none.

        Raises InvalidBody or InvalidRequest naming the field, NotFound without a picture.
        """
        self._require_few(body)
        kind, values = self._plain(body, chosen)
        plain = self.models.validate(kind, values)
        asked = request_of(plain, self.bounds, self.pictures)
        extras = self._extras(body)
        return asked if extras == Extras() else replace(asked, extras=extras)

    def _require_few(self, body: WebUIBody) -> None:
        if body.batch_size * body.n_iter > self.bounds.max_batch_size:
            most = f"batch_size x n_iter must be at most {self.bounds.max_batch_size}"
            raise InvalidBody([FieldError("n_iter" if body.n_iter > 1 else "batch_size", most)])

    def _plain(
        self, body: WebUIBody, chosen: str | None
    ) -> tuple[type[GenerationBody], dict[str, Any]]:
        """What of it the gateway's own API knows."""
        values: dict[str, Any] = {
            "prompt": body.prompt or NO_WORDS,
            "negative_prompt": body.negative_prompt,
            "steps": body.steps,
            "cfg_scale": body.cfg_scale,
            "width": body.width,
            "height": body.height,
            "seed": body.seed,
            "batch_size": body.batch_size,
            "sampler_name": body.sampler_name or body.sampler_index or None,
            "scheduler": body.scheduler or None,
            "model": body.override_settings.sd_model_checkpoint or chosen,
        }
        if not isinstance(body, WebUIImg2Img):
            return Txt2ImgBody, values
        if not body.init_images:
            raise NotFound(NO_PICTURE)
        strength = _strength(body.denoising_strength)
        values |= {"image": body.init_images[0], "strength": strength}
        if not body.mask:
            return Img2ImgBody, values
        mask = inverted(body.mask, self.pictures) if body.inpainting_mask_invert else body.mask
        painted = {"mask_blur": _mask_blur(body), "inpaint_full_res": body.inpaint_full_res}
        return InpaintingBody, values | painted | {"mask": mask}

    def _extras(self, body: WebUIBody) -> Extras:
        control, details = units_of(body.alwayson_scripts, self.pictures)
        vae = body.override_settings.sd_vae
        self.facts.require_vae(vae)
        asked: dict[str, Any] = {
            "n_iter": body.n_iter,
            "subseed": body.subseed,
            "subseed_strength": body.subseed_strength,
            "restore_faces": body.restore_faces,
            "tiling": body.tiling,
            "clip_skip": body.override_settings.CLIP_stop_at_last_layers,
            "vae": vae,
            "control": control,
            "details": details,
            **_noise(body),
        }
        if isinstance(body, WebUITxt2Img) and body.enable_hr:
            asked["hires"] = self._hires(body)
        if isinstance(body, WebUIImg2Img):
            asked["resize_mode"] = body.resize_mode
            if body.mask:
                asked["inpainting_fill"] = body.inpainting_fill
                asked["inpaint_full_res_padding"] = body.inpaint_full_res_padding
        return Extras(**asked)

    def _hires(self, body: WebUITxt2Img) -> HiresFix:
        width, height = _enlarged(body)
        self._require_size(width, height, "hr_resize_x" if body.hr_resize_x else "hr_scale")
        self.facts.require_upscaler(body.hr_upscaler, "hr_upscaler", latent=True)
        if body.hr_second_pass_steps > self.bounds.max_steps:
            most = f"must be at most {self.bounds.max_steps}"
            raise InvalidBody([FieldError("hr_second_pass_steps", most)])
        if not 0 <= body.denoising_strength <= 1:
            message = "must be at least 0 and at most 1"
            raise InvalidBody([FieldError("denoising_strength", message)])
        return HiresFix(
            width=width,
            height=height,
            upscaler=body.hr_upscaler,
            steps=body.hr_second_pass_steps,
            denoising_strength=_strength(body.denoising_strength),
            prompt=body.hr_prompt,
            negative_prompt=body.hr_negative_prompt,
        )

    def _require_size(self, width: int, height: int, field: str) -> None:
        bounds = self.bounds
        fits = bounds.min_size <= min(width, height) <= max(width, height) <= bounds.max_size
        if not fits or width * height > bounds.max_pixels:
            message = (
                f"makes {width}x{height}; sides may be {bounds.min_size} to {bounds.max_size} "
                f"pixels, {bounds.max_pixels} in all"
            )
            raise InvalidBody([FieldError(field, message)])


def inverted(mask: str, pictures: CallerPictures) -> bytes:
    """The mask with black and white exchanged, as a PNG. Raises InvalidImage."""
    picture = read_mask(pictures.read(mask, "mask"), field="mask", limits=pictures.limits)
    with Image.open(BytesIO(picture.data)) as image:
        buffer = BytesIO()
        ImageOps.invert(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _strength(asked: float) -> float:
    return asked or LEAST_STRENGTH


def _mask_blur(body: WebUIImg2Img) -> int:
    """One radius, for engines blur as far across as down. Raises InvalidBody for two."""
    if body.mask_blur is not None:
        return body.mask_blur
    if body.mask_blur_x != body.mask_blur_y:
        both = "mask_blur_x", "mask_blur_y"
        message = "must be the same, 4 where one is missing; or send mask_blur"
        raise InvalidBody([FieldError(name, message) for name in both])
    return body.mask_blur_x


def _enlarged(body: WebUITxt2Img) -> tuple[int, int]:
    """The size after the second pass, as the WebUI works it out, down to its latent's grid."""
    width, height = body.hr_resize_x, body.hr_resize_y
    if not width and not height:
        width, height = int(body.width * body.hr_scale), int(body.height * body.hr_scale)
    elif not height:
        height = width * body.height // body.width
    elif not width:
        width = height * body.width // body.height
    return width // SIZE_STEP * SIZE_STEP, height // SIZE_STEP * SIZE_STEP


def _noise(body: WebUIBody) -> dict[str, float]:
    asked = {
        name: value
        for name, usual in _NEUTRAL_NOISE.items()
        if (value := getattr(body, name)) not in (None, usual)
    }
    sampler = body.sampler_name or body.sampler_index
    usual_eta = None if sampler.upper().startswith(("DDIM", "PLMS")) else _USUAL_ETA
    if body.eta not in (None, usual_eta):
        asked["eta"] = body.eta
    return asked
