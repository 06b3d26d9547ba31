"""Draws the captioned pictures the demo checkpoint is trained on.

Everything the checkpoint knows comes from here: coloured shapes on coloured backgrounds, a few
arrangements of them, and ten kinds of scene (scenes.py). `draw_picture` is deterministic: the same
`random.Random` state gives the same picture and caption. Needs Pillow only.

A shape whose caption states no place and no size stands in the middle at one size. A caption then
almost determines its picture, which is what lets so small a network learn crisp outlines.
"""

import random
from collections.abc import Callable

from PIL import Image

from ai.demo_model.training.scenes import draw_scene
from ai.demo_model.training.shapes import (
    COLOUR_NAMES,
    PALETTE,
    SHAPE_NAMES,
    Point,
    draw_shape,
    nearly,
    paint_background,
    with_article,
)

PLAIN_RADIUS = 0.30  # half the extent of a shape of no stated size, in picture short sides
PLACES: dict[str, Point] = {  # centre of the shape, in picture widths and heights
    "in the center": (0.5, 0.5),
    "at the top": (0.5, 0.25),
    "at the bottom": (0.5, 0.75),
    "on the left": (0.25, 0.5),
    "on the right": (0.75, 0.5),
    "in the top left corner": (0.25, 0.25),
    "in the top right corner": (0.75, 0.25),
    "in the bottom left corner": (0.25, 0.75),
    "in the bottom right corner": (0.75, 0.75),
}
SIZES = {"small": 0.16, "big": 0.40, "large": 0.40}  # radii, in picture short sides
OPENINGS = ["a picture of ", "a drawing of ", "an image of ", "a painting of ", "a photo of ",
            "masterpiece, best quality, "]  # fmt: skip
ENDINGS = [", highly detailed", ", best quality", ", minimalist", ", flat design", ", 4k"]
FILLER = """
photo photograph portrait of the and with cat dog man woman person car city street forest
river lake beach night day light dark beautiful ugly blurry low quality worst deformed extra
fingers watermark text anime cartoon realistic cinematic detailed high resolution 8k hd art
style oil watercolor sketch digital render 3d bright colorful vivid soft sharp focus
"""  # words of real-life prompts that stand for nothing here: learned to be ignored


def draw_picture(
    width: int, height: int, rng: random.Random, oversample: int = 2
) -> tuple[Image.Image, str]:
    """One picture of the given size in pixels, and its caption.

    `oversample`: drawn this many times larger, then reduced, for smooth edges.
    """
    image = Image.new("RGB", (width * oversample, height * oversample))
    kinds: list[tuple[float, Callable[[Image.Image, random.Random], str]]] = [
        (0.56, draw_plain_shape),
        (0.25, draw_scene),
        (0.08, draw_placed_shape),
        (0.03, draw_sized_shape),
        (0.05, draw_two_shapes),
        (0.03, draw_background_only),
    ]
    draw = rng.choices([kind for _, kind in kinds], [share for share, _ in kinds])[0]
    caption = decorate(draw(image, rng), rng)
    return (image.reduce(oversample) if oversample > 1 else image), caption


def decorate(caption: str, rng: random.Random) -> str:
    """The caption as people would write it: sometimes with an opening, an ending, filler words."""
    if rng.random() < 0.12:
        caption = rng.choice(OPENINGS) + caption
    if rng.random() < 0.08:
        caption += rng.choice(ENDINGS)
    if rng.random() < 0.05:
        caption += ", " + filler(rng)
    if rng.random() < 0.05:
        caption = caption.removeprefix("a ").removeprefix("an ")
    return caption


def filler(rng: random.Random) -> str:
    """One to eight words that mean nothing to the checkpoint, like most negative prompts."""
    words = rng.sample(FILLER.split(), rng.randint(1, 8))
    return rng.choice([" ", ", "]).join(words)


def draw_plain_shape(image: Image.Image, rng: random.Random) -> str:
    """A shape in the middle: the sentence the checkpoint must know best."""
    shape, colour = rng.choice(SHAPE_NAMES), rng.choice(COLOUR_NAMES)
    ground = paint_background(image, rng, avoid={colour})
    middle = (image.width / 2, image.height / 2)
    radius = min(image.size) * PLAIN_RADIUS * rng.uniform(0.98, 1.02)
    draw_shape(image, shape, middle, radius, nearly(PALETTE[colour], rng))
    if rng.random() < 0.04:
        return with_article(f"{colour} {shape}")
    return f"{with_article(colour)} {shape} {ground}"


def draw_placed_shape(image: Image.Image, rng: random.Random) -> str:
    """A smaller shape at one of the nine PLACES."""
    shape, colour = rng.choice(SHAPE_NAMES), rng.choice(COLOUR_NAMES)
    ground = paint_background(image, rng, avoid={colour})
    place, (x, y) = rng.choice(list(PLACES.items()))
    centre = (x * image.width, y * image.height)
    draw_shape(image, shape, centre, min(image.size) * 0.2, nearly(PALETTE[colour], rng))
    return f"{with_article(colour)} {shape} {place} {ground}"


def draw_sized_shape(image: Image.Image, rng: random.Random) -> str:
    """A shape in the middle, small or big."""
    shape, colour = rng.choice(SHAPE_NAMES), rng.choice(COLOUR_NAMES)
    ground = paint_background(image, rng, avoid={colour})
    size, radius = rng.choice(list(SIZES.items()))
    middle = (image.width / 2, image.height / 2)
    draw_shape(image, shape, middle, min(image.size) * radius, nearly(PALETTE[colour], rng))
    return f"a {size} {colour} {shape} {ground}"


def draw_two_shapes(image: Image.Image, rng: random.Random) -> str:
    """Two shapes of two colours, side by side or one above the other."""
    first, second = rng.sample(COLOUR_NAMES, 2)
    ground = paint_background(image, rng, avoid={first, second})
    relation = rng.choice(["and", "next to", "above"])
    spots = [(0.5, 0.27), (0.5, 0.73)] if relation == "above" else [(0.27, 0.5), (0.73, 0.5)]
    named = []
    for colour, (x, y) in zip((first, second), spots, strict=True):
        shape = rng.choice(SHAPE_NAMES)
        centre = (x * image.width, y * image.height)
        draw_shape(image, shape, centre, min(image.size) * 0.2, nearly(PALETTE[colour], rng))
        named.append(f"{with_article(colour)} {shape}")
    return f"{named[0]} {relation} {named[1]} {ground}"


def draw_background_only(image: Image.Image, rng: random.Random) -> str:
    """One colour and nothing on it."""
    name = rng.choice(COLOUR_NAMES)
    image.paste(nearly(PALETTE[name], rng), (0, 0, *image.size))
    return rng.choice([f"a plain {name} background", name, f"{with_article(name)} image"])
