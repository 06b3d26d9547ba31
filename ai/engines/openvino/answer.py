"""What was made of an order, as the pool hands it on: files, seeds and what was really used."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from ai.engines.base import Checkpoint
from ai.engines.infotext import encode_png, infotext
from ai.engines.openvino.order import AUTOMATIC, Order
from ai.generation import (
    MAX_SEED,
    GeneratedImage,
    Generation,
    GenerationRequest,
    Img2Img,
    Inpainting,
)


def seeds(request: GenerationRequest) -> list[int]:
    """One per image: s, s + 1, ... and 0 again after the largest there is."""
    return [(request.seed + image) % (MAX_SEED + 1) for image in range(request.image_count)]


def answer(order: Order, pictures: Sequence[Image.Image], checkpoint: Checkpoint) -> Generation:
    """The generation that `pictures`, one per seed, make up."""
    made = zip(pictures, seeds(order.request), strict=True)
    return Generation(
        images=tuple(_image(picture, order, seed, checkpoint) for picture, seed in made),
        checkpoint=checkpoint.name,
        checkpoint_hash=checkpoint.hash,
        parameters=_parameters(order, pictures[0]),
        degraded=order.degraded,
    )


def _parameters(order: Order, picture: Image.Image) -> dict[str, object]:
    request = order.request
    parameters: dict[str, object] = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "steps": request.steps,
        "cfg_scale": order.cfg_scale,
        "width": picture.width,
        "height": picture.height,
        "seed": request.seed,
        "sampler_name": order.sampler,
        "scheduler": AUTOMATIC,
        "batch_size": request.batch_size,
    }
    if isinstance(request, Img2Img):
        parameters["denoising_strength"] = request.denoising_strength
    if isinstance(request, Inpainting):
        parameters["mask_blur"] = request.mask_blur
        parameters["inpaint_full_res"] = request.inpaint_full_res
    return parameters


def _image(picture: Image.Image, order: Order, seed: int, checkpoint: Checkpoint) -> GeneratedImage:
    request = order.request
    details: dict[str, object] = {
        "Steps": request.steps,
        "Sampler": order.sampler,
        "CFG scale": order.cfg_scale,
        "Seed": seed,
        "Size": f"{picture.width}x{picture.height}",
        "Model hash": checkpoint.hash,
        "Model": checkpoint.name,
    }
    if isinstance(request, Img2Img):
        details["Denoising strength"] = request.denoising_strength
    if isinstance(request, Inpainting):
        details["Mask blur"] = request.mask_blur
    details["Version"] = "Sluice"
    data = encode_png(picture, infotext(request.prompt, request.negative_prompt, details))
    return GeneratedImage(data, "image/png", picture.width, picture.height, seed)
