"""Sizes that fit, regions that hold what is masked, and what is put back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ai.engines.openvino.canvas import ONLY_MASKED_PADDING, Backdrop, Canvas, Sketch, sketch
from ai.generation import Inpainting
from tests.ai.engines.openvino.support import colourful, picture, txt2img, white_box

SIDES = st.integers(1, 40).map(lambda eighths: eighths * 8)
STEPS = st.sampled_from([8, 16, 32, 64])


@given(width=SIDES, height=SIDES, step=STEPS)
def test_a_canvas_is_the_next_size_up_and_holds_the_picture_unchanged(
    width: int, height: int, step: int
) -> None:
    canvas = Canvas(width, height, step)
    for asked, full in ((width, canvas.full_width), (height, canvas.full_height)):
        assert full % step == 0
        assert 0 <= full - asked < step
    image = np.asarray(colourful(width, height))
    extended = canvas.extend(image)
    assert extended.shape == (canvas.full_height, canvas.full_width, 3)
    assert np.array_equal(np.asarray(canvas.crop(Image.fromarray(extended))), image)


@given(data=st.data(), width=SIDES, height=SIDES, step=STEPS)
def test_the_region_painted_alone_holds_the_mask_and_has_the_shape_of_the_canvas(
    data: st.DataObject, width: int, height: int, step: int
) -> None:
    image_width, image_height = data.draw(st.integers(8, 300)), data.draw(st.integers(8, 300))
    left, top = (data.draw(st.integers(0, side - 1)) for side in (image_width, image_height))
    right = data.draw(st.integers(left + 1, image_width))
    bottom = data.draw(st.integers(top + 1, image_height))
    request = _inpainting(image_width, image_height, (left, top, right, bottom), width, height)
    layout = sketch(request, size_step=step, cell=8)
    assert layout.backdrop is not None
    assert layout.backdrop.region is not None
    x1, y1, x2, y2 = layout.backdrop.region
    assert 0 <= x1 <= max(0, left - ONLY_MASKED_PADDING)
    assert 0 <= y1 <= max(0, top - ONLY_MASKED_PADDING)
    assert min(image_width, right + ONLY_MASKED_PADDING) <= x2 <= image_width
    assert min(image_height, bottom + ONLY_MASKED_PADDING) <= y2 <= image_height
    is_bounded = x2 - x1 == image_width or y2 - y1 == image_height
    assert is_bounded or abs((x2 - x1) * height - (y2 - y1) * width) <= max(width, height)


@given(
    box=st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(21, 64)] * 2),
    step=STEPS,
    full_res=st.booleans(),
)
def test_what_a_mask_leaves_black_is_never_painted_over(
    box: tuple[int, int, int, int], step: int, full_res: bool
) -> None:
    request = _inpainting(64, 64, box, 72, 72, full_res=full_res)
    layout = sketch(request, size_step=step, cell=8)
    full = (layout.canvas.full_height, layout.canvas.full_width)
    assert layout.image is not None
    assert layout.mask is not None
    assert (layout.image.shape, layout.mask.shape) == ((*full, 3), full)
    finished = np.asarray(layout.finish(np.full((*full, 3), 255, np.uint8)))
    assert layout.backdrop is not None
    untouched = np.asarray(layout.backdrop.veil) == 0
    original = np.asarray(layout.backdrop.picture)
    assert np.array_equal(finished[untouched], original[untouched])


def test_words_alone_need_no_picture() -> None:
    layout = sketch(txt2img(width=72, height=64), size_step=16, cell=16)
    assert layout == Sketch(Canvas(72, 64, 16))
    assert layout.finish(np.zeros((64, 80, 3), np.uint8)).size == (72, 64)


def test_a_margin_is_shared_between_the_sides_and_repeats_the_edge() -> None:
    extended = Canvas(8, 8, 16).extend(np.arange(64, dtype=np.uint8).reshape(8, 8))
    assert extended[0, 0] == extended[4, 4] == 0
    assert extended[15, 15] == extended[11, 11] == 63


@pytest.mark.parametrize(("cell", "painted"), [(8, (32, 40)), (16, (32, 48))])
def test_the_mask_covers_whole_cells_of_the_latent(cell: int, painted: tuple[int, int]) -> None:
    request = _inpainting(64, 64, (35, 35, 37, 37), 64, 64, full_res=False)
    mask = sketch(request, size_step=64, cell=cell).mask
    assert mask is not None
    expected = np.zeros((64, 64), np.uint8)
    expected[slice(*painted), slice(*painted)] = 255
    assert np.array_equal(mask, expected)


def test_a_grey_veil_mixes_what_was_and_what_is_painted() -> None:
    black = Image.new("RGB", (8, 8))
    backdrop = Backdrop(black, Image.new("L", (8, 8), 128))
    assert backdrop.with_painted(Image.new("RGB", (8, 8), "white")).getpixel((0, 0)) == (128,) * 3


def _inpainting(
    image_width: int,
    image_height: int,
    box: tuple[int, int, int, int],
    width: int,
    height: int,
    *,
    full_res: bool = True,
) -> Inpainting:
    return Inpainting(
        prompt="x",
        image=picture(colourful(image_width, image_height)),
        mask=picture(white_box(image_width, image_height, box)),
        mask_blur=0,
        width=width,
        height=height,
        inpaint_full_res=full_res,
    )
