"""All that shapes a picture makes another request, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ai.generation import GenerationRequest, Img2Img, Inpainting, Picture, Txt2Img
from backend.jobs import fingerprints

PICTURE = Picture(b"one", "image/png", 64, 64)
OTHER = Picture(b"other", "image/png", 64, 64)
INPAINTING = Inpainting(prompt="a star", seed=7, image=PICTURE, mask=PICTURE)


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a moon"},
        {"negative_prompt": "clouds"},
        {"steps": 21},
        {"cfg_scale": 7.25},
        {"width": 576},
        {"height": 576},
        {"seed": 8},
        {"sampler_name": "Euler"},
        {"scheduler": "Karras"},
        {"batch_size": 2},
        {"denoising_strength": 0.5},
        {"image": OTHER},
        {"mask": OTHER},
        {"mask_blur": 5},
        {"inpaint_full_res": True},
        {"checkpoint": "tinyB"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_field_counts(change: dict[str, Any]) -> None:
    changed = replace(INPAINTING, **change)
    assert fingerprints.asked(changed) != fingerprints.asked(INPAINTING)
    same_weights = fingerprints.made(changed, "tinyA", "a1") == made(INPAINTING)
    assert same_weights is (list(change) == ["checkpoint"])


def made(request: GenerationRequest) -> str:
    return fingerprints.made(request, "tinyA", "a1")


def test_the_same_again_is_the_same() -> None:
    again = replace(INPAINTING, image=Picture(b"one", "image/png", 64, 64))
    assert fingerprints.asked(again) == fingerprints.asked(INPAINTING)
    assert made(again) == made(INPAINTING)


def test_the_kind_counts() -> None:
    words = {"prompt": "a star", "seed": 7, "denoising_strength": 0.5}
    whole = Img2Img(**words, image=PICTURE)  # type: ignore[arg-type]
    assert made(whole) != made(Inpainting(**words, image=PICTURE, mask=PICTURE))  # type: ignore[arg-type]


def test_the_weights_count_by_name_and_hash() -> None:
    request = Txt2Img(prompt="a star", seed=7)
    variants = [("tinyA", "a1"), ("tinyA", "a2"), ("tinyB", "a1")]
    assert len({fingerprints.made(request, *weights) for weights in variants}) == 3


def test_what_is_said_beside_counts() -> None:
    request = Txt2Img(prompt="a star", seed=7)
    assert fingerprints.asked(request, caller="a") != fingerprints.asked(request, caller="b")
