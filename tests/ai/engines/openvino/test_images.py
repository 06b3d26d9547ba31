"""The embedded engine painting over pictures: img2img and inpainting."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ai.engines.openvino.canvas import Sketch
from ai.engines.openvino.engine import OpenVinoEngine
from ai.engines.openvino.order import Order
from ai.engines.openvino.weights import Weights
from ai.generation import Img2Img, Inpainting, Picture
from tests.ai.engines.openvino.support import (
    Pixels,
    colourful,
    generate,
    made,
    picture,
    pixels,
    white_box,
)

SAMPLERS = ("Euler", "Euler a", "DDIM", "PLMS", "LCM")
QUICK: dict[str, Any] = {"prompt": "a blue square", "width": 64, "height": 64, "seed": 7}


def img2img(image: Image.Image, **fields: Any) -> Img2Img:
    return Img2Img(**{**QUICK, "steps": 4, "image": picture(image), **fields})


def inpainting(image: Image.Image, mask: Image.Image, **fields: Any) -> Inpainting:
    given = {"image": picture(image), "mask": picture(mask)}
    return Inpainting(**{**QUICK, "steps": 2, **given, **fields})


def resized(image: Image.Image, width: int, height: int) -> Image.Image:
    return image.resize((width, height), Image.Resampling.LANCZOS)


def test_img2img_starts_from_the_picture(embedded: OpenVinoEngine) -> None:
    white, black = (Image.new("RGB", (64, 64), colour) for colour in ("white", "black"))
    weak = {"denoising_strength": 0.3, "cfg_scale": 1.0}
    assert made(embedded, img2img(white, **weak)).mean() > 200
    assert made(embedded, img2img(black, **weak)).mean() < 55


def test_img2img_follows_its_seed(embedded: OpenVinoEngine) -> None:
    image = colourful(64, 64)
    first = made(embedded, img2img(image))
    assert np.array_equal(first, made(embedded, img2img(image)))
    assert not np.array_equal(first, made(embedded, img2img(image, seed=8)))


def test_img2img_says_its_strength(embedded: OpenVinoEngine) -> None:
    generation = generate(embedded, img2img(colourful(64, 64), denoising_strength=0.5))
    assert generation.parameters["denoising_strength"] == 0.5
    with Image.open(io.BytesIO(generation.images[0].data)) as opened:
        assert "Denoising strength: 0.5, Version: Sluice" in opened.info["parameters"]


@pytest.mark.parametrize(("width", "height"), [(64, 64), (72, 104)])
def test_a_picture_of_another_size_is_resized(
    embedded: OpenVinoEngine, width: int, height: int
) -> None:
    image = colourful(100, 60)
    asked = img2img(image, width=width, height=height)
    beforehand = img2img(resized(image, width, height), width=width, height=height)
    assert made(embedded, asked).shape == (height, width, 3)
    assert np.array_equal(made(embedded, asked), made(embedded, beforehand))


def test_a_grey_jpeg_is_taken(embedded: OpenVinoEngine) -> None:
    buffer = io.BytesIO()
    colourful(64, 64).convert("L").save(buffer, "JPEG")
    jpeg = Picture(buffer.getvalue(), "image/jpeg", 64, 64)
    request = replace(img2img(colourful(64, 64)), image=jpeg)
    assert made(embedded, request).shape == (64, 64, 3)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_least_strength_still_takes_a_step(embedded: OpenVinoEngine, sampler: str) -> None:
    request = img2img(colourful(64, 64), denoising_strength=0.001, sampler_name=sampler)
    assert made(embedded, request).shape == (64, 64, 3)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_strength_times_steps_is_the_steps_that_are_taken(
    embedded: OpenVinoEngine, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    taken: list[int] = []
    paint: Callable[..., Pixels | None] = Weights.paint

    def count_steps(self: Weights, order: Order, layout: Sketch, seed: int, _: object) -> object:
        return paint(self, order, layout, seed, lambda step, *_: bool(taken.append(step)))  # type: ignore[func-returns-value]

    monkeypatch.setattr(Weights, "paint", count_steps)
    for steps, strength in ((1, 0.1), (10, 0.29), (7, 0.5), (3, 1.0)):
        taken.clear()
        request = img2img(
            colourful(64, 64), steps=steps, denoising_strength=strength, sampler_name=sampler
        )
        generate(embedded, request)
        # PLMS looks at its first step twice.
        twice = sampler == "PLMS" and steps > 1
        assert len(taken) == request.effective_steps + twice, (steps, strength)


def test_what_is_not_masked_stays_exactly_as_it_was(embedded: OpenVinoEngine) -> None:
    image, mask = colourful(64, 64), white_box(64, 64, (0, 0, 32, 64))
    painted = made(embedded, inpainting(image, mask, mask_blur=0))
    assert np.array_equal(painted[:, 32:], np.asarray(image)[:, 32:])
    assert (painted[:, :32] != np.asarray(image)[:, :32]).any(axis=-1).mean() > 0.9


def test_a_blurred_mask_blends_at_its_edge_alone(embedded: OpenVinoEngine) -> None:
    image, mask = colourful(128, 64), white_box(128, 64, (0, 0, 64, 64))
    size = {"width": 128, "height": 64}
    sharp = made(embedded, inpainting(image, mask, mask_blur=0, **size))
    soft = made(embedded, inpainting(image, mask, mask_blur=4, **size))
    original = np.asarray(image)
    assert np.array_equal(soft[:, 80:], original[:, 80:])
    assert not np.array_equal(soft[:, 64:70], original[:, 64:70])
    assert not np.array_equal(soft[:, 58:64], sharp[:, 58:64])


def test_a_mask_smaller_than_a_cell_of_the_latent_is_painted(embedded: OpenVinoEngine) -> None:
    image, box = colourful(64, 64), (35, 35, 39, 39)
    painted = made(embedded, inpainting(image, white_box(64, 64, box), mask_blur=0))
    changed = (painted != np.asarray(image)).any(axis=-1)
    assert changed[35:39, 35:39].all()
    assert changed.sum() == 16


def test_an_empty_mask_changes_nothing(embedded: OpenVinoEngine) -> None:
    image, mask = colourful(64, 64), Image.new("L", (64, 64))
    for only_masked in (False, True):
        request = inpainting(image, mask, inpaint_full_res=only_masked)
        assert np.array_equal(made(embedded, request), np.asarray(image))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_inpaints(embedded: OpenVinoEngine, sampler: str) -> None:
    image, mask = colourful(64, 64), white_box(64, 64, (0, 0, 32, 64))
    for strength in (0.001, 1.0):
        request = inpainting(image, mask, sampler_name=sampler, denoising_strength=strength)
        assert made(embedded, request).shape == (64, 64, 3)


def test_inpainting_at_another_size_resizes_picture_and_mask(embedded: OpenVinoEngine) -> None:
    image, mask = colourful(100, 100), white_box(100, 100, (0, 0, 50, 100))
    painted = made(embedded, inpainting(image, mask, width=72, height=88, mask_blur=0))
    assert painted.shape == (88, 72, 3)
    expected = np.asarray(resized(image, 72, 88))
    assert np.array_equal(painted[:, 42:], expected[:, 42:])
    assert not np.array_equal(painted[:, :30], expected[:, :30])


def test_only_the_masked_region_is_painted_and_put_back_into_the_picture(
    embedded: OpenVinoEngine,
) -> None:
    image, mask = colourful(300, 200), white_box(300, 200, (200, 100, 220, 120))
    request = inpainting(image, mask, inpaint_full_res=True, mask_blur=0)
    generation = generate(embedded, request)
    painted, original = pixels(generation.images[0]), np.asarray(image)
    changed = (painted != original).any(axis=-1)
    assert painted.shape == original.shape
    assert changed[100:120, 200:220].mean() > 0.9
    assert changed.sum() == changed[100:120, 200:220].sum()
    assert (generation.images[0].width, generation.parameters["width"]) == (300, 300)


def test_a_batch_of_inpaintings_follows_its_seeds(embedded: OpenVinoEngine) -> None:
    image, mask = colourful(64, 64), white_box(64, 64, (0, 0, 32, 64))
    batch = generate(embedded, inpainting(image, mask, batch_size=2)).images
    alone = generate(embedded, inpainting(image, mask, seed=8)).images
    assert [image.seed for image in batch] == [7, 8]
    assert batch[1].data == alone[0].data
