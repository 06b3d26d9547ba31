"""The ten kinds of scene, each in one steady layout: `draw_scene` picks and captions one.

Lengths are in short sides of the picture, places relative to its middle, so that a scene looks the
same in a square, a portrait and a landscape.
"""

import math
import random
from collections.abc import Callable

from PIL import Image, ImageDraw

from ai.demo_model.training.shapes import (
    COLOUR_NAMES,
    PALETTE,
    Colour,
    Point,
    draw_shape,
    nearly,
    paint_background,
    paint_gradient,
    with_article,
)

SKY: tuple[Colour, Colour] = ((110, 175, 250), (205, 232, 255))  # top, bottom
DUSK: tuple[Colour, Colour] = ((90, 50, 140), (250, 150, 60))
GRASS, SEA, SNOW, NIGHT = (70, 160, 70), (25, 90, 180), (250, 250, 255), (12, 16, 55)
WOOD, INK, MOONLIGHT = (110, 65, 30), (12, 12, 12), (250, 240, 180)
BRIGHT_NAMES = ["red", "yellow", "pink", "purple", "orange", "white", "blue"]
RAINBOW_NAMES = ["red", "orange", "yellow", "green", "blue", "purple"]
STARS: list[Point] = [  # about the middle, in short sides
    (-0.40, -0.42), (-0.22, -0.30), (0.38, -0.40), (0.42, -0.08), (-0.42, -0.12), (-0.30, 0.08),
    (0.20, 0.12), (-0.10, 0.22), (0.40, 0.25), (-0.42, 0.32), (0.10, 0.40), (-0.20, 0.42),
]  # fmt: skip


class Canvas:
    """A picture measured in short sides from its middle, y downwards."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self.unit = min(image.size)
        self._pen = ImageDraw.Draw(image)

    def at(self, x: float, y: float) -> Point:
        return self.image.width / 2 + x * self.unit, self.image.height / 2 + y * self.unit

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        self.box(x - radius, y - radius, x + radius, y + radius, colour, round_=True)

    def box(
        self, x0: float, y0: float, x1: float, y1: float, colour: Colour, round_: bool = False
    ) -> None:
        paint = self._pen.ellipse if round_ else self._pen.rectangle
        paint([*self.at(x0, y0), *self.at(x1, y1)], fill=colour)

    def polygon(self, points: list[Point], colour: Colour) -> None:
        self._pen.polygon([self.at(x, y) for x, y in points], fill=colour)

    def arc(
        self, x: float, y: float, radius: float, start: int, end: int, width: float, colour: Colour
    ) -> None:
        """Part of a circle's line; angles in degrees, clockwise from the right."""
        corners = [*self.at(x - radius, y - radius), *self.at(x + radius, y + radius)]
        self._pen.arc(corners, start, end, fill=colour, width=max(1, int(width * self.unit)))

    def ground(self, y: float, colour: Colour) -> None:
        """Everything below y."""
        top = self.at(0, y)[1]
        self._pen.rectangle([0, top, self.image.width, self.image.height], fill=colour)


def draw_scene(image: Image.Image, rng: random.Random) -> str:
    """Paint one of the ten kinds of scene over the whole image; its caption."""
    return rng.choice(list(SCENES.values()))(Canvas(image), rng)


def _mountains(canvas: Canvas, rng: random.Random) -> str:
    paint_gradient(canvas.image, *SKY)
    canvas.disc(0.28, -0.30, 0.10, (255, 215, 60))
    _draw_peaks(canvas, rng)
    canvas.ground(0.14, GRASS)
    return rng.choice(
        ["a landscape with mountains and a sun", "mountains", "the sun over mountains",
         "mountains under a blue sky with the sun", "a landscape"]
    )  # fmt: skip


def _draw_peaks(canvas: Canvas, rng: random.Random) -> None:
    """Three snow-capped peaks standing on y = 0.14."""
    for x, height in ((-0.32, 0.34), (0.34, 0.30), (0.02, 0.42)):
        foot = height * 0.95
        canvas.polygon(
            [(x - foot, 0.16), (x, 0.14 - height), (x + foot, 0.16)],
            nearly((100, 105, 125) if x != 0.02 else (120, 125, 145), rng),
        )
        cap = height * 0.28
        canvas.polygon(
            [(x - cap * 0.95, 0.14 - height + cap), (x, 0.14 - height),
             (x + cap * 0.95, 0.14 - height + cap)],
            SNOW,
        )  # fmt: skip


def _sunset(canvas: Canvas, rng: random.Random) -> str:
    paint_gradient(canvas.image, *DUSK)
    over = rng.choice(["sea", "sea", "mountains"])
    if over == "sea":
        canvas.disc(0, 0.06, 0.20, (255, 110, 50))
        canvas.ground(0.10, (40, 50, 120))
    else:
        canvas.disc(0.20, -0.14, 0.11, (255, 110, 50))
        _draw_peaks(canvas, rng)
        canvas.ground(0.14, (50, 90, 60))
    return rng.choice([f"sunset over the {over}", f"a sunset over {over}", "a sunset"])


def _night(canvas: Canvas, rng: random.Random) -> str:
    canvas.image.paste(NIGHT, (0, 0, *canvas.image.size))
    for x, y in STARS:
        canvas.disc(x, y, 0.018, (255, 255, 230))
    draw_shape(canvas.image, "moon", canvas.at(0.08, -0.16), 0.2 * canvas.unit, MOONLIGHT)
    return rng.choice(
        ["night sky with moon and stars", "a moon and stars at night", "the moon in the night sky"]
    )


def _house(canvas: Canvas, rng: random.Random) -> str:
    paint_gradient(canvas.image, *SKY)
    canvas.ground(0.28, GRASS)
    wall = rng.choice(COLOUR_NAMES)
    roof = rng.choice([c for c in ("red", "brown", "blue", "gray", "purple") if c != wall])
    canvas.box(-0.25, -0.06, 0.25, 0.28, PALETTE[wall])
    canvas.polygon([(-0.33, -0.06), (0, -0.36), (0.33, -0.06)], PALETTE[roof])
    canvas.box(-0.055, 0.10, 0.055, 0.28, (90, 50, 25))
    for x in (-0.155, 0.155):
        canvas.box(x - 0.055, 0.01, x + 0.055, 0.11, (180, 220, 250))
    if rng.random() < 0.15:
        return "a house"
    return f"{with_article(wall)} house with {with_article(roof)} roof"


def _tree(canvas: Canvas, rng: random.Random) -> str:
    paint_gradient(canvas.image, *SKY)
    canvas.ground(0.28, GRASS)
    colour = rng.choice(["green", "green", "orange", "pink", "red"])
    canvas.box(-0.055, 0, 0.055, 0.32, WOOD)
    for x, y, radius in ((-0.14, -0.06, 0.15), (0.14, -0.06, 0.15), (0, -0.18, 0.19)):
        canvas.disc(x, y, radius, PALETTE[colour])
    return "a tree" if colour == "green" and rng.random() < 0.5 else f"{with_article(colour)} tree"


def _flower(canvas: Canvas, rng: random.Random) -> str:
    paint_gradient(canvas.image, *SKY)
    canvas.ground(0.34, GRASS)
    colour = rng.choice(BRIGHT_NAMES)
    canvas.box(-0.022, -0.05, 0.022, 0.42, (30, 130, 40))
    for turn in range(6):
        x, y = math.sin(turn * math.pi / 3) * 0.16, -math.cos(turn * math.pi / 3) * 0.16
        canvas.disc(x, y - 0.10, 0.095, PALETTE[colour])
    canvas.disc(0, -0.10, 0.09, (120, 70, 30) if colour == "yellow" else (250, 200, 30))
    return "a flower" if rng.random() < 0.1 else f"{with_article(colour)} flower"


def _face(canvas: Canvas, rng: random.Random) -> str:
    ground = paint_background(canvas.image, rng, avoid={"yellow", "black", "orange"})
    canvas.disc(0, 0, 0.36, PALETTE["yellow"])
    for x in (-0.14, 0.14):
        canvas.box(x - 0.045, -0.17, x + 0.045, -0.04, INK, round_=True)
    sad = rng.random() < 0.3
    if sad:
        canvas.arc(0, 0.28, 0.18, 205, 335, 0.045, INK)
    else:
        canvas.arc(0, 0.0, 0.22, 25, 155, 0.045, INK)
    mood = "sad" if sad else rng.choice(["happy", "smiling"])
    return f"a {mood} face {ground}" if rng.random() < 0.8 else f"a {mood} face"


def _boat(canvas: Canvas, rng: random.Random) -> str:
    paint_gradient(canvas.image, *SKY)
    canvas.ground(0.16, SEA)
    sail = rng.choice(["red", "green", "yellow", "orange", "purple", "pink", "white"])
    canvas.polygon([(-0.30, 0.10), (0.30, 0.10), (0.20, 0.24), (-0.20, 0.24)], WOOD)
    canvas.box(-0.02, -0.36, 0.01, 0.10, WOOD)
    canvas.polygon([(0.03, -0.36), (0.03, 0.06), (0.28, 0.06)], PALETTE[sail])
    if rng.random() < 0.15:
        return rng.choice(["a boat on the sea", "a sailboat"])
    return f"a sailboat with {with_article(sail)} sail on the sea"


def _snowman(canvas: Canvas, rng: random.Random) -> str:
    paint_gradient(canvas.image, *SKY)
    canvas.ground(0.28, SNOW)
    for y, radius in ((0.22, 0.19), (-0.04, 0.145), (-0.25, 0.105)):
        canvas.disc(0, y, radius + 0.012, (150, 170, 195))
        canvas.disc(0, y, radius, (246, 248, 252))
    canvas.box(-0.09, -0.46, 0.09, -0.33, INK)
    canvas.box(-0.14, -0.35, 0.14, -0.32, INK)
    for x in (-0.045, 0.045):
        canvas.disc(x, -0.27, 0.018, INK)
    canvas.polygon([(0, -0.25), (0.11, -0.225), (0, -0.205)], PALETTE["orange"])
    for y in (-0.09, 0.0):
        canvas.disc(0, y, 0.018, INK)
    return rng.choice(["a snowman", "a snowman", "a snowman in the snow"])


def _rainbow(canvas: Canvas, rng: random.Random) -> str:
    paint_gradient(canvas.image, *SKY)
    for index, name in enumerate(RAINBOW_NAMES):
        canvas.disc(0, 0.28, 0.46 - 0.05 * index, PALETTE[name])
    canvas.disc(0, 0.28, 0.16, (190, 225, 254))
    canvas.ground(0.28, GRASS)
    return rng.choice(["a rainbow", "a rainbow", "a rainbow over a meadow"])


SCENES: dict[str, Callable[[Canvas, random.Random], str]] = {
    "mountains": _mountains,
    "sunset": _sunset,
    "night": _night,
    "house": _house,
    "tree": _tree,
    "flower": _flower,
    "face": _face,
    "boat": _boat,
    "snowman": _snowman,
    "rainbow": _rainbow,
}
