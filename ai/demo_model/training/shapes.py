"""The palette, the shapes, and how to paint them: what pictures.py and scenes.py are built of."""

import math
import random

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

PALETTE: dict[str, Colour] = {
    "red": (220, 30, 30),
    "green": (30, 160, 50),
    "blue": (30, 70, 220),
    "yellow": (250, 220, 30),
    "orange": (250, 140, 20),
    "purple": (130, 40, 170),
    "pink": (250, 140, 190),
    "cyan": (40, 210, 220),
    "brown": (120, 70, 30),
    "black": (12, 12, 12),
    "white": (248, 248, 248),
    "gray": (128, 128, 128),
}
COLOUR_NAMES = list(PALETTE)
SHAPE_NAMES = [
    "circle", "square", "triangle", "star", "heart",
    "diamond", "hexagon", "ring", "cross", "moon",
]  # fmt: skip
RING_HOLE = 0.60  # radius of a ring's hole, in ring radii


def _arc(centre_x: float, radius: float, start: float, end: float, points: int = 48) -> list[Point]:
    """Points of a circle's arc about (centre_x, 0); angles in radians, clockwise from the right."""
    angles = [start + (end - start) * k / points for k in range(points + 1)]
    return [(centre_x + radius * math.cos(a), radius * math.sin(a)) for a in angles]


def _heart() -> list[Point]:
    turns = [2 * math.pi * k / 64 for k in range(64)]
    return [
        (
            math.sin(t) ** 3 * 1.05,
            -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 15.2
            - 0.12,
        )
        for t in turns
    ]


def _star() -> list[Point]:
    radii = [1.12 if k % 2 == 0 else 0.46 for k in range(10)]
    return [
        (r * math.sin(k * math.pi / 5), -r * math.cos(k * math.pi / 5) + 0.08)
        for k, r in enumerate(radii)
    ]


def _moon() -> list[Point]:
    """A crescent open to the right: the unit circle less a circle of 0.8 about (0.5, 0)."""
    meet_x = (1 - 0.8**2 + 0.5**2) / (2 * 0.5)
    outer, inner = math.acos(meet_x), math.acos((meet_x - 0.5) / 0.8)
    outline = _arc(0, 1, outer, 2 * math.pi - outer)
    outline += _arc(0.5, 0.8, 2 * math.pi - inner, inner)
    return [(x + 0.12, y) for x, y in outline]


_ARM = 0.34  # half the width of a cross's arms
OUTLINES: dict[str, list[Point]] = {  # in shape radii about the shape's centre, y downwards
    "circle": _arc(0, 1, 0, 2 * math.pi),
    "ring": _arc(0, 1, 0, 2 * math.pi),
    "square": [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
    "triangle": [(0, -1), (1.08, 0.86), (-1.08, 0.86)],
    "diamond": [(0, -1.1), (0.86, 0), (0, 1.1), (-0.86, 0)],
    "hexagon": [(math.cos(k * math.pi / 3), math.sin(k * math.pi / 3)) for k in range(6)],
    "star": _star(),
    "heart": _heart(),
    "moon": _moon(),
    "cross": [
        (-_ARM, -1), (_ARM, -1), (_ARM, -_ARM), (1, -_ARM), (1, _ARM), (_ARM, _ARM),
        (_ARM, 1), (-_ARM, 1), (-_ARM, _ARM), (-1, _ARM), (-1, -_ARM), (-_ARM, -_ARM),
    ],
}  # fmt: skip


def draw_shape(
    image: Image.Image, shape: str, centre: Point, radius: float, colour: Colour
) -> None:
    """Paint a shape; centre and radius in pixels. A ring's hole shows what was there before."""
    x0, y0 = centre
    points = [(x0 + x * radius, y0 + y * radius) for x, y in OUTLINES[shape]]
    if shape != "ring":
        ImageDraw.Draw(image).polygon(points, fill=colour)
        return
    mask = Image.new("L", image.size)
    pen = ImageDraw.Draw(mask)
    pen.polygon(points, fill=255)
    hole = radius * RING_HOLE
    pen.ellipse([x0 - hole, y0 - hole, x0 + hole, y0 + hole], fill=0)
    image.paste(colour, (0, 0), mask)


def nearly(colour: Colour, rng: random.Random, spread: int = 4) -> Colour:
    """The colour, each channel off by at most `spread` of 255."""
    red, green, blue = (max(0, min(255, c + rng.randint(-spread, spread))) for c in colour)
    return red, green, blue


def with_article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def paint_gradient(image: Image.Image, top: Colour, bottom: Colour) -> None:
    """Fill the image with a vertical gradient."""
    rows = Image.linear_gradient("L").resize((1, image.height)).resize(image.size)
    ends = (Image.new("RGB", image.size, bottom), Image.new("RGB", image.size, top))
    image.paste(Image.composite(*ends, rows))


def paint_background(image: Image.Image, rng: random.Random, avoid: set[str]) -> str:
    """Fill the image with a colour not in `avoid`, rarely a gradient of two; how to say that."""
    free = [name for name in COLOUR_NAMES if name not in avoid]
    if rng.random() < 0.02:
        top, bottom = rng.sample(free, 2)
        paint_gradient(image, PALETTE[top], PALETTE[bottom])
        return f"on {with_article(top)} and {bottom} gradient background"
    name = rng.choice(free)
    image.paste(nearly(PALETTE[name], rng), (0, 0, *image.size))
    if rng.random() < 0.85:
        return f"on {with_article(name)} background"
    return rng.choice([f"on {name}", f"against {with_article(name)} background"])
