"""The measure itself: it knows what is surely a shape, and does not see shapes in blobs."""

import itertools
import math
import random

import numpy as np
from PIL import Image, ImageDraw

from ai.demo_model.training.pictures import PLAIN_RADIUS
from ai.demo_model.training.shapes import COLOUR_NAMES, PALETTE, SHAPE_NAMES, draw_shape, nearly
from tests.ai.demo_model.shape_measure import Seen, pieces, see

SIDE = 256


def drawn(background: str, colour: str, shape: str, rng: random.Random) -> Image.Image:
    """The picture a shape prompt asks for, as the training pictures have it, a little aside."""
    picture = Image.new("RGB", (SIDE, SIDE), nearly(PALETTE[background], rng))
    centre = (SIDE / 2 + rng.uniform(-9, 9), SIDE / 2 + rng.uniform(-9, 9))
    radius = SIDE * PLAIN_RADIUS * rng.uniform(0.8, 1.1)
    draw_shape(picture, shape, centre, radius, nearly(PALETTE[colour], rng))
    return picture


def blob(rng: random.Random) -> Image.Image:
    """A rounded thing of no name: a wavy outline of three to five uneven bulges."""
    picture = Image.new("RGB", (SIDE, SIDE), PALETTE["white"])
    waves = [(k, rng.uniform(0.12, 0.2), rng.uniform(0, 2 * math.pi)) for k in (1, 2, 3, 5)]
    outline = []
    for turn in (2 * math.pi * k / 90 for k in range(90)):
        radius = 70 * (1 + sum(size * math.sin(k * turn + at) for k, size, at in waves))
        outline.append((SIDE / 2 + radius * math.cos(turn), SIDE / 2 + radius * math.sin(turn)))
    ImageDraw.Draw(picture).polygon(outline, fill=PALETTE["red"])
    return picture


def test_knows_every_shape_in_every_pair_of_colours() -> None:
    rng = random.Random(1)
    pairs = list(itertools.permutations(COLOUR_NAMES, 2))
    asked = [(*rng.choice(pairs), shape) for shape in SHAPE_NAMES for _ in range(12)]
    seen = [see(drawn(*words, rng))[:3] for words in asked]
    right = sum(one == other for one, other in zip(seen, asked, strict=True))
    assert right >= 0.95 * len(asked)


def test_tells_all_colours_apart() -> None:
    rng = random.Random(2)
    for background, colour in itertools.permutations(COLOUR_NAMES, 2):
        seen = see(drawn(background, colour, "square", rng))
        assert (seen.background, seen.colour) == (background, colour)


def test_sees_no_shape_in_most_blobs() -> None:
    rng = random.Random(3)
    seen = [see(blob(rng)) for _ in range(40)]
    assert all(one.colour == "red" and one.background == "white" for one in seen)
    assert sum(one.shape is not None for one in seen) <= 4


def test_an_empty_picture_shows_nothing() -> None:
    assert see(Image.new("RGB", (SIDE, SIDE), PALETTE["cyan"])) == Seen("cyan", None, None, 0.0)


def test_counts_pieces() -> None:
    picture = Image.new("1", (20, 20))
    pen = ImageDraw.Draw(picture)
    pen.rectangle([1, 1, 4, 4], fill=1)
    pen.rectangle([8, 8, 15, 15], fill=1)
    assert [int(piece.sum()) for piece in pieces(np.asarray(picture))] == [64, 16]
