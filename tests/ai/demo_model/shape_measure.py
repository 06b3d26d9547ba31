"""Says what a picture of one shape shows: the stated measure of the demo checkpoint.

The background's colour is the palette colour nearest to the median of the picture's border. The
object is the largest connected piece of the pixels nearer to the object's colour than to the
background's; its colour is the palette colour nearest to the median of the piece. Its shape is the
one that overlaps it best (intersection over union, holes count) when both have the same centre of
gravity and the same area; below `RECOGNISED` it is no shape at all.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ai.demo_model.training.shapes import PALETTE, SHAPE_NAMES, draw_shape

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]

GRID = 96  # pictures are reduced to GRID x GRID before they are looked at
BORDER = 5  # width of the border in grid cells
CONTRAST = 40.0  # RGB distance from the background that surely is not background
SMALLEST = 0.01  # share of the picture that the object must cover
STENCIL = 64  # side of the square in which outlines are compared
STENCIL_HALF = 0.95  # half that side in square roots of the object's area: a star's tips fit in
RECOGNISED = 0.88  # least overlap that counts; the autoencoder alone leaves at least 0.91


class Seen(NamedTuple):
    """Names from the palette and the shapes; None where there is no object, or no known shape."""

    background: str
    colour: str | None
    shape: str | None
    overlap: float


def see(picture: Image.Image) -> Seen:
    """What the picture shows."""
    small = picture.convert("RGB").resize((GRID, GRID), Image.Resampling.BOX)
    pixels = np.asarray(small, dtype=np.float64)
    ground = border_colour(pixels)
    mask = object_mask(pixels, ground)
    if mask.mean() < SMALLEST:
        return Seen(nearest_colour(ground), None, None, 0.0)
    colour = nearest_colour(np.median(pixels[mask], axis=0))
    shape, overlap = nearest_shape(mask)
    return Seen(nearest_colour(ground), colour, shape if overlap >= RECOGNISED else None, overlap)


def nearest_colour(rgb: Values) -> str:
    """The palette's colour nearest to (3,) RGB values of 0..255."""
    return min(PALETTE, key=lambda name: float(np.linalg.norm(rgb - np.array(PALETTE[name]))))


def border_colour(pixels: Values) -> Values:
    """(3,) median of the outermost cells of (GRID, GRID, 3) pixels."""
    inside = np.zeros(pixels.shape[:2], dtype=bool)
    inside[BORDER:-BORDER, BORDER:-BORDER] = True
    median: Values = np.median(pixels[~inside], axis=0)
    return median


def object_mask(pixels: Values, ground: Values) -> Mask:
    """(GRID, GRID) booleans: the largest piece nearer to the object's colour than the ground's."""
    distance = np.linalg.norm(pixels - ground, axis=2)
    if (distance > CONTRAST).mean() < SMALLEST:
        return np.zeros(distance.shape, dtype=bool)
    ink = np.median(pixels[distance > CONTRAST], axis=0)
    return largest_piece(distance > np.linalg.norm(pixels - ink, axis=2))


def pieces(mask: Mask) -> list[Mask]:
    """The connected pieces of a mask (edges touch, corners do not), largest first."""
    left, found = mask.copy(), []
    while left.any():
        piece = np.zeros_like(mask)
        frontier = [tuple(np.argwhere(left)[0])]
        while frontier:
            y, x = frontier.pop()
            if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and left[y, x]:
                left[y, x], piece[y, x] = False, True
                frontier += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
        found.append(piece)
    return sorted(found, key=lambda piece: -int(piece.sum()))


def largest_piece(mask: Mask) -> Mask:
    """The largest connected piece, or the empty mask."""
    found = pieces(mask)
    return found[0] if found else mask


def nearest_shape(mask: Mask) -> tuple[str, float]:
    """The shape that overlaps the mask best, and by how much (0..1)."""
    stencil = to_stencil(mask)
    overlaps = {}
    for name in SHAPE_NAMES:
        other = shape_stencil(name)
        overlaps[name] = float((stencil & other).sum() / (stencil | other).sum())
    best = max(overlaps, key=lambda name: overlaps[name])
    return best, overlaps[best]


@cache
def shape_stencil(name: str) -> Mask:
    """(STENCIL, STENCIL) booleans of a shape as it should be."""
    image = Image.new("RGB", (4 * GRID, 4 * GRID))
    draw_shape(image, name, (2 * GRID, 2 * GRID), 1.2 * GRID, (255, 255, 255))
    return to_stencil(np.asarray(image)[..., 0] > 127)


def to_stencil(mask: Mask) -> Mask:
    """The mask about its centre of gravity, scaled to a standard area: place and size fall away."""
    ys, xs = np.nonzero(mask)
    middle_y, middle_x = ys.mean() + 0.5, xs.mean() + 0.5
    half = STENCIL_HALF * np.sqrt(len(ys))
    box = (middle_x - half, middle_y - half, middle_x + half, middle_y + half)
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    scaled = image.transform(
        (STENCIL, STENCIL), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR
    )
    stencil: Mask = np.asarray(scaled) > 127
    return stencil
