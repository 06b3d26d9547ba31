"""The fixed prompts the checkpoint is judged by. They were drawn by chance once, not chosen."""

import random
from typing import NamedTuple

from ai.demo_model.training.shapes import COLOUR_NAMES, SHAPE_NAMES, with_article


class ShapePrompt(NamedTuple):
    """A prompt, what its picture must show, and the seed to draw it with."""

    background: str
    colour: str
    shape: str
    seed: int

    @property
    def text(self) -> str:
        ground = with_article(self.background)
        return f"{with_article(self.colour)} {self.shape} on {ground} background"


def shape_prompts(count: int = 40) -> list[ShapePrompt]:
    """Every shape in turn, each time in a chance colour on another; seeds 1, 2, ..."""
    rng = random.Random(2026)
    prompts = []
    for index in range(count):
        colour, background = rng.sample(COLOUR_NAMES, 2)
        prompts.append(
            ShapePrompt(background, colour, SHAPE_NAMES[index % len(SHAPE_NAMES)], index + 1)
        )
    return prompts


SCENE_PROMPTS = [  # one of each kind; seeds 1, 2, ...
    "a landscape with mountains and a sun",
    "sunset over the sea",
    "night sky with moon and stars",
    "a red house with a gray roof",
    "a green tree",
    "a yellow flower",
    "a smiling face on a cyan background",
    "a sailboat with a red sail on the sea",
    "a snowman",
    "a rainbow",
]
LARGE_PROMPTS = [  # for 512 x 512: shapes, then scenes, then words outside its language
    "a red circle on a blue background",
    "a yellow star on a purple background",
    "a pink heart on a black background",
    "a white ring on a green background",
    "a red house with a gray roof",
    "a rainbow",
    "a snowman",
    "a photo of an astronaut riding a horse",
]
