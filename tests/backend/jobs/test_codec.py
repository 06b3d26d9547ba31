"""A request outlives the process whole: its words, its extras, and the pictures of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from ai.extras import ControlUnit, DetailUnit, Extras, HiresFix
from ai.generation import Inpainting, Picture, Txt2Img
from backend.jobs import fingerprints
from backend.jobs.codec import (
    PictureLost,
    discard_pictures,
    picture_ids,
    request_from,
    with_pictures,
    words_of,
)
from backend.storage.local import LocalImageStore
from tests.pictures import mask, png

PICTURE = Picture(png(), "image/png", 64, 64)
MASK = Picture(mask(), "image/png", 64, 64)
OTHER = Picture(png(colour="green"), "image/png", 64, 64)
HIRES = HiresFix(width=128, height=128, upscaler="Latent")
CONTROL = ControlUnit(module="canny", model="c", image=PICTURE, mask=MASK)
EXTRAS = Extras(
    n_iter=2, vae="soft", hires=HIRES, control=(CONTROL,), details=(DetailUnit(ad_model="a.pt"),)
)
REQUEST = Inpainting(prompt="a star", seed=7, image=PICTURE, mask=MASK, extras=EXTRAS)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalImageStore]:
    store = LocalImageStore(tmp_path, max_bytes=2**30, ttl_s=1e6)
    yield store
    store.close()


def kept(request: Any, store: LocalImageStore) -> Any:
    """As the database gives it back."""
    return orjson.loads(orjson.dumps(with_pictures(request, store)))


@pytest.mark.parametrize(
    "request_", [REQUEST, Txt2Img(prompt="a star"), replace(REQUEST, extras=None)]
)
def test_what_was_kept_is_the_same_request(store: LocalImageStore, request_: Any) -> None:
    assert request_from(request_.kind, kept(request_, store), store) == request_


def test_every_picture_of_it_is_known_and_goes_with_it(store: LocalImageStore) -> None:
    written = kept(REQUEST, store)
    assert len(picture_ids(written)) == 4
    discard_pictures(written, store)
    with pytest.raises(PictureLost):
        request_from("inpainting", written, store)


def test_words_alone_hold_no_picture() -> None:
    words = words_of(REQUEST)
    assert picture_ids(words) == []
    assert b"PNG" not in orjson.dumps(words)


@pytest.mark.parametrize(
    "changed",
    [
        replace(EXTRAS, n_iter=1),
        replace(EXTRAS, vae="sharp"),
        replace(EXTRAS, hires=replace(HIRES, width=192)),
        replace(EXTRAS, control=(replace(CONTROL, weight=0.5),)),
        replace(EXTRAS, control=(replace(CONTROL, image=OTHER),)),
        replace(EXTRAS, details=()),
        None,
    ],
)
def test_every_extra_makes_another_request(changed: Extras | None) -> None:
    other = replace(REQUEST, extras=changed)
    assert fingerprints.made(other, "x", "1") != fingerprints.made(REQUEST, "x", "1")
