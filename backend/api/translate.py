"""From the wire's words to our values, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from ai.errors import InvalidRequest
from ai.generation import GenerationRequest, Img2Img, Inpainting, Picture, Txt2Img
from ai.images import read_mask, read_picture
from backend.api.schemas import GenerationBody, Img2ImgBody, InpaintingBody, Txt2ImgBody
from backend.bounds import Bounds
from backend.jobs.deliveries import Delivery
from backend.jobs.live import GenerationResult, MadeImage
from backend.jobs.records import Job, Snapshot
from backend.json_answers import Base64
from backend.pictures import CallerPictures

BASE_PATH = "/api/v1/ai/generation"
WIRE_NAMES = {"denoising_strength": "strength"}
"""Where the wire's word is not the WebUI's."""
DELIVERY_TOLD = (
    "url",
    "state",
    "tries",
    "next_try_at",
    "last_status",
    "last_error",
    "delivered_at",
)
"""What a caller is told of a webhook's delivery."""


def request_of(body: GenerationBody, bounds: Bounds, pictures: CallerPictures) -> GenerationRequest:
    """What `body` asks for, its pictures decoded and checked. Raises InvalidRequest."""
    words = {
        "prompt": body.prompt,
        "negative_prompt": body.negative_prompt,
        "steps": body.steps,
        "cfg_scale": body.cfg_scale,
        "seed": body.seed,
        "checkpoint": body.model or None,
        "sampler_name": body.sampler_name,
        "scheduler": body.scheduler,
        "batch_size": body.batch_size,
    }
    if isinstance(body, Txt2ImgBody):
        _check_pixels(body.width, body.height, bounds)
        return Txt2Img(**words, width=body.width, height=body.height)  # type: ignore[arg-type]
    assert isinstance(body, Img2ImgBody)
    limits = pictures.limits
    image = read_picture(pictures.read(body.image, "image"), field="image", limits=limits)
    width, height = _size(body, image, bounds)
    words |= {"width": width, "height": height, "denoising_strength": body.strength}
    if not isinstance(body, InpaintingBody):
        return Img2Img(**words, image=image)  # type: ignore[arg-type]
    return Inpainting(
        **words,  # type: ignore[arg-type]
        image=image,
        mask=read_mask(pictures.read(body.mask, "mask"), field="mask", limits=limits),
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
        "cached": result.cached,
        "parameters": _wire(generation.parameters),
    }
    if generation.degraded:
        answer["degraded"] = list(generation.degraded)
    if result.warnings:
        answer["warnings"] = list(result.warnings)
    if len(images) > 1:
        answer["images"] = images
    return answer


def image_path(image_id: UUID | str) -> str:
    """Where an image is served."""
    return f"{BASE_PATH}/image/{image_id}"


def job_path(job_id: UUID) -> str:
    """Where a job is told of."""
    return f"{BASE_PATH}/jobs/{job_id}"


def job_urls(job_id: UUID) -> dict[str, str]:
    """Where a job is told of, watched and called off."""
    path = job_path(job_id)
    return {"self": path, "events": f"{path}/events", "cancel": path}


def job_answer(
    job: Job, now: Snapshot | None = None, delivery: Delivery | None = None
) -> dict[str, Any]:
    """A job as its caller sees it.

    `now` is how it is while it has not ended, `delivery` how its webhook stands.
    """
    answer: dict[str, Any] = {
        "job_id": str(job.id),
        "kind": job.kind,
        "status": now.status if now and not job.has_ended else job.status,
        "urls": job_urls(job.id),
        "created_at": job.created_at,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
        "runs": job.runs,
        "attempts": job.attempts,
        "engine": job.engine,
        "progress": 1.0 if job.status == "succeeded" else now.fraction if now else 0.0,
    }
    if now and not job.has_ended:
        answer |= {"position": now.position, "eta_s": now.eta_s, "step": now.step}
    if job.result is not None:
        answer |= _kept_result(job.result)
        answer["timings"] = {"queue_s": job.queue_s, "engine_s": job.engine_s}
    if job.error_code is not None:
        answer["error"] = {"code": job.error_code, "message": job.error_message}
        if job.request_id is not None:
            answer["error"]["request_id"] = job.request_id
    if delivery is not None:
        answer["webhook"] = {name: getattr(delivery, name) for name in DELIVERY_TOLD}
    return answer


def _kept_result(result: Mapping[str, Any]) -> dict[str, Any]:
    images = [
        {
            "image_id": image["id"],
            "image_url": image_path(image["id"]) if image["id"] else None,
            "seed": image["seed"],
        }
        for image in result["images"]
    ]
    answer = {"images": images} | {name: result[name] for name in ("model", "device", "cached")}
    answer["parameters"] = _wire(result["parameters"])
    return answer | {name: result[name] for name in ("degraded", "warnings") if result[name]}


def _wire(parameters: Mapping[str, object]) -> dict[str, object]:
    return {WIRE_NAMES.get(name, name): value for name, value in parameters.items()}


def _image_answer(made: MadeImage, url_only: bool) -> dict[str, object]:
    answer: dict[str, object] = {
        "image_id": str(made.image_id) if made.image_id else None,
        "image_url": image_path(made.image_id) if made.image_id else None,
        "seed": made.image.seed,
    }
    if not url_only:
        prefix = f"data:{made.image.media_type};base64,"
        answer["image_base64"] = None if made.lost else Base64(made.image.base64, prefix)
    return answer


def _size(body: Img2ImgBody, image: Picture, bounds: Bounds) -> tuple[int, int]:
    own_width, own_height = bounds.fitted(image.width, image.height)
    width, height = body.width or own_width, body.height or own_height
    _check_pixels(width, height, bounds)
    return width, height


def _check_pixels(width: int, height: int, bounds: Bounds) -> None:
    if width * height > bounds.max_pixels:
        raise InvalidRequest("width", f"width x height must be at most {bounds.max_pixels} pixels")
