"""The geometry of a generation: sizes made to fit, masks, and what is put back afterwards."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ai.generation import GenerationRequest, Img2Img, Inpainting, Picture

Pixels = NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels; the last two are just outside."""

ONLY_MASKED_PADDING = 32
"""Pixels of surroundings painted along with a masked region: the WebUI's own page's default."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """A picture of `width` x `height` pixels amid the next larger one with sides of `step`s."""

    width: int
    height: int
    step: int

    @property
    def full_width(self) -> int:
        return -(-self.width // self.step) * self.step

    @property
    def full_height(self) -> int:
        return -(-self.height // self.step) * self.step

    @property
    def box(self) -> Box:
        left = (self.full_width - self.width) // 2
        top = (self.full_height - self.height) // 2
        return left, top, left + self.width, top + self.height

    def extend(self, pixels: Pixels) -> Pixels:
        """(height, width, ...) to (full_height, full_width, ...), the edges drawn out."""
        left, top, right, bottom = self.box
        margins = [(top, self.full_height - bottom), (left, self.full_width - right)]
        margins += [(0, 0)] * (pixels.ndim - 2)
        return np.pad(pixels, margins, mode="edge")

    def crop(self, made: Image.Image) -> Image.Image:
        return made.crop(self.box)


@dataclass(frozen=True, slots=True)
class Backdrop:
    """What the painting is put back onto.

    `picture` shows through where `veil` (its size, grey) is black; `region` is the part of
    it that is painted, the whole where None.
    """

    picture: Image.Image
    veil: Image.Image
    region: Box | None = None

    def with_painted(self, painted: Image.Image) -> Image.Image:
        if self.region is not None:
            left, top, right, bottom = self.region
            patch = painted.resize((right - left, bottom - top), Image.Resampling.LANCZOS)
            painted = self.picture.copy()
            painted.paste(patch, (left, top))
        return Image.composite(painted, self.picture, self.veil)


@dataclass(frozen=True, slots=True)
class Sketch:
    """What is painted and where it belongs.

    `image` (full_height, full_width, 3) is what to start from; `mask` (full_height,
    full_width) is 255 where it is painted anew.
    """

    canvas: Canvas
    image: Pixels | None = None
    mask: Pixels | None = None
    backdrop: Backdrop | None = None

    def finish(self, made: Pixels) -> Image.Image:
        """The picture to hand out, from what was made on the full canvas."""
        picture = self.canvas.crop(Image.fromarray(made))
        return picture if self.backdrop is None else self.backdrop.with_painted(picture)


def sketch(request: GenerationRequest, *, size_step: int, cell: int) -> Sketch:
    """Lay out `request` for an engine that makes sides of multiples of `size_step` pixels.

    A cell of its latent is `cell` pixels a side, of which `size_step` is a multiple. As in
    the WebUI a picture of another size is resized, and painting the masked region alone
    gives a picture of the size that came in.
    """
    canvas = Canvas(request.width, request.height, size_step)
    if isinstance(request, Inpainting):
        return _inpainting(request, canvas, cell)
    if isinstance(request, Img2Img):
        image = _resized(_open(request.image, "RGB"), canvas)
        return Sketch(canvas, image=canvas.extend(np.asarray(image)))
    return Sketch(canvas)


def _inpainting(request: Inpainting, canvas: Canvas, cell: int) -> Sketch:
    original, mask = _open(request.image, "RGB"), _open(request.mask, "L")
    if not request.inpaint_full_res:
        original, mask = _resized(original, canvas), _resized(mask, canvas)
    veil = mask.filter(ImageFilter.GaussianBlur(request.mask_blur))
    region = _region(veil, canvas) if request.inpaint_full_res else None
    image, painted = (_resized(part.crop(region), canvas) for part in (original, veil))
    return Sketch(
        canvas,
        image=canvas.extend(np.asarray(image)),
        mask=_on_grid(canvas.extend(np.asarray(painted)), cell),
        backdrop=Backdrop(original, veil, region),
    )


def _region(veil: Image.Image, canvas: Canvas) -> Box:
    """The part of the picture that holds all that is masked, in the shape of the canvas."""
    left, top, right, bottom = veil.getbbox() or (0, 0, *veil.size)
    padding = ONLY_MASKED_PADDING
    left, top = max(0, left - padding), max(0, top - padding)
    right, bottom = min(veil.width, right + padding), min(veil.height, bottom + padding)
    wide, high = right - left, bottom - top
    wide, high = (
        min(veil.width, max(wide, round(high * canvas.width / canvas.height))),
        min(veil.height, max(high, round(wide * canvas.height / canvas.width))),
    )
    left = min(max(0, (left + right - wide) // 2), veil.width - wide)
    top = min(max(0, (top + bottom - high) // 2), veil.height - high)
    return left, top, left + wide, top + high


def _on_grid(mask: Pixels, cell: int) -> Pixels:
    """White in every cell of the latent that holds anything to repaint.

    Else a small mask falls between the samples that the library takes of it, and nothing
    is painted.
    """
    rows, columns = mask.shape[0] // cell, mask.shape[1] // cell
    is_painted = mask.reshape(rows, cell, columns, cell).max(axis=(1, 3)) > 0
    whites = np.where(is_painted, np.uint8(255), np.uint8(0))
    return whites.repeat(cell, axis=0).repeat(cell, axis=1)


def _open(picture: Picture, mode: str) -> Image.Image:
    with Image.open(io.BytesIO(picture.data)) as image:
        return image.convert(mode)


def _resized(image: Image.Image, canvas: Canvas) -> Image.Image:
    return image.resize((canvas.width, canvas.height), Image.Resampling.LANCZOS)
