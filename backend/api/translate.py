"""From the wire's words to our values, and back."""

from __future__ import annotations

from uuid import UUID

from ai.errors import InvalidRequest
from ai.generation import GenerationRequest, Img2Img, Inpainting, Picture, Txt2Img
from ai.images import ImageLimits, decode_base64, read_mask, read_picture
from backend.api.schemas import GenerationBody, Img2ImgBody, InpaintingBody, Txt2ImgBody
from backend.bounds import Bounds
from backend.generate import GenerationResult, MadeImage

BASE_PATH = "/api/v1/ai/generation"
WIRE_NAMES = {"denoising_strength": "strength"}
"""Where the wire's word is not the WebUI's."""


def request_of(
    body: GenerationBody, bounds: Bounds, limits: ImageLimits, default_checkpoint: str | None
) -> GenerationRequest:
    """What `body` asks for, its pictures decoded and checked. Raises InvalidRequest."""
    words = {
        "prompt": body.prompt,
        "negative_prompt": body.negative_prompt,
        "steps": body.steps,
        "cfg_scale": body.cfg_scale,
        "seed": body.seed,
        "checkpoint": body.model or default_checkpoint,
        "sampler_name": body.sampler_name,
        "scheduler": body.scheduler,
        "batch_size": body.batch_size,
    }
    if isinstance(body, Txt2ImgBody):
        _check_pixels(body.width, body.height, bounds)
        return Txt2Img(**words, width=body.width, height=body.height)  # type: ignore[arg-type]
    assert isinstance(body, Img2ImgBody)
    image = read_picture(_bytes(body.image, "image", limits), field="image", limits=limits)
    width, height = _size(body, image, bounds)
    words |= {"width": width, "height": height, "denoising_strength": body.strength}
    if not isinstance(body, InpaintingBody):
        return Img2Img(**words, image=image)  # type: ignore[arg-type]
    return Inpainting(
        **words,  # type: ignore[arg-type]
        image=image,
        mask=read_mask(_bytes(body.mask, "mask", limits), field="mask", limits=limits),
        mask_blur=body.mask_blur,
        inpaint_full_res=body.inpaint_full_res,
    )


def answer_of(
    result: GenerationResult, *, url_only: bool, processing_time: float
) -> dict[str, object]:
    """`result` as the contract's answer: the first image on top, all of them if several."""
    outcome, generation = result.outcome, result.outcome.generation
    images = [_image_answer(made, url_only) for made in result.images]
    answer = images[0] | {
        "processing_time": round(processing_time, 3),
        "model": generation.checkpoint,
        "device": outcome.device,
        "engine": outcome.engine,
        "attempts": outcome.attempts,
        "cached": False,
        "parameters": {WIRE_NAMES.get(k, k): v for k, v in generation.parameters.items()},
    }
    if generation.degraded:
        answer["degraded"] = list(generation.degraded)
    if result.warnings:
        answer["warnings"] = list(result.warnings)
    if len(images) > 1:
        answer["images"] = images
    return answer


def image_path(image_id: UUID) -> str:
    """Where an image is served."""
    return f"{BASE_PATH}/image/{image_id}"


def _image_answer(made: MadeImage, url_only: bool) -> dict[str, object]:
    answer: dict[str, object] = {
        "image_id": str(made.stored.id) if made.stored else None,
        "image_url": image_path(made.stored.id) if made.stored else None,
        "seed": made.image.seed,
    }
    if not url_only:
        answer["image_base64"] = f"data:{made.image.media_type};base64,{made.image.base64}"
    return answer


def _bytes(picture: str | bytes, field: str, limits: ImageLimits) -> bytes:
    if isinstance(picture, bytes):
        return picture
    return decode_base64(picture, field=field, max_bytes=limits.max_bytes)


def _size(body: Img2ImgBody, image: Picture, bounds: Bounds) -> tuple[int, int]:
    own_width, own_height = bounds.fitted(image.width, image.height)
    width, height = body.width or own_width, body.height or own_height
    _check_pixels(width, height, bounds)
    return width, height


def _check_pixels(width: int, height: int, bounds: Bounds) -> None:
    if width * height > bounds.max_pixels:
        raise InvalidRequest("width", f"width x height must be at most {bounds.max_pixels} pixels")
