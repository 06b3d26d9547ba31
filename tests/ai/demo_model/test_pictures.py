"""The training pictures: what is drawn is what the caption says, and drawing repeats itself."""

import random

import pytest
from PIL import Image

from ai.demo_model.training.pictures import draw_picture, draw_plain_shape
from ai.demo_model.training.scenes import SCENES, Canvas
from ai.demo_model.training.shapes import COLOUR_NAMES, SHAPE_NAMES
from tests.ai.demo_model.shape_measure import see


def test_the_same_seed_draws_the_same_picture() -> None:
    first, again = (draw_picture(128, 96, random.Random(5)) for _ in range(2))
    assert first[0].size == (128, 96)
    assert (first[0].tobytes(), first[1]) == (again[0].tobytes(), again[1])


def test_captions_name_what_a_plain_picture_shows() -> None:
    rng = random.Random(6)
    for _ in range(30):
        picture = Image.new("RGB", (256, 256))
        words = draw_plain_shape(picture, rng).split()
        seen = see(picture)
        assert [word for word in words if word in SHAPE_NAMES] == [seen.shape]
        if "gradient" not in words and len(words) > 3:
            named = [word for word in words if word in COLOUR_NAMES]
            assert named == [seen.colour, seen.background]


@pytest.mark.parametrize("size", [(64, 64), (96, 160), (160, 96)])
@pytest.mark.parametrize("name", SCENES)
def test_every_scene_fits_every_format(name: str, size: tuple[int, int]) -> None:
    picture = Image.new("RGB", size)
    caption = SCENES[name](Canvas(picture), random.Random(7))
    assert caption == caption.strip().lower()
    assert len(picture.getcolors(maxcolors=size[0] * size[1]) or []) >= 3
