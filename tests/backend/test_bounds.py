"""Sizes fitted to what may be asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.bounds import Bounds

BOUNDS = Bounds()
SIDES = st.integers(1, 20_000)


@pytest.mark.parametrize(
    ("own", "fitted"),
    [
        ((512, 512), (512, 512)),
        ((100, 101), (96, 104)),
        ((4000, 3000), (2048, 1536)),
        ((10, 10), (64, 64)),
        ((2048, 2048), (2048, 2048)),
        ((5000, 20), (2048, 64)),
    ],
)
def test_a_picture_is_given_the_nearest_allowed_size(
    own: tuple[int, int], fitted: tuple[int, int]
) -> None:
    assert BOUNDS.fitted(*own) == fitted


@given(SIDES, SIDES, st.sampled_from([2**16, 2**20, 2**22]))
def test_every_picture_fits(width: int, height: int, max_pixels: int) -> None:
    bounds = Bounds(max_pixels=max_pixels)
    fit_width, fit_height = bounds.fitted(width, height)
    for side in (fit_width, fit_height):
        assert side % 8 == 0
        assert bounds.min_size <= side <= bounds.max_size
    assert fit_width * fit_height <= max_pixels


@given(st.integers(64, 2048), st.integers(64, 2048))
def test_a_picture_within_bounds_is_only_rounded(width: int, height: int) -> None:
    fit_width, fit_height = BOUNDS.fitted(width, height)
    assert abs(fit_width - width) <= 4
    assert abs(fit_height - height) <= 4
