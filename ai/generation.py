"""The values of image making: what is asked, what is made, how far it is.

Fields keep the WebUI's spelling; only adapters translate. Sizes are pixels, seeds are
whole numbers from 0 to 2^32 - 1, times are seconds.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Literal

import pybase64

from ai.errors import InvalidRequest

RANDOM_SEED = -1
MAX_SEED = 2**32 - 1
SIZE_STEP = 8
"""The latent grid of every Stable Diffusion family: other sizes are rounded by engines."""

Kind = Literal["txt2img", "img2img", "inpainting"]
KINDS: tuple[Kind, ...] = ("txt2img", "img2img", "inpainting")


@dataclass(frozen=True, slots=True)
class Picture:
    """A caller's picture after checking: bytes that every engine can read.

    `data` is a PNG or JPEG of `width` x `height` pixels, 8 bits a channel, grey or RGB,
    upright, without alpha.
    """

    data: bytes = field(repr=False)
    media_type: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """What every kind of generation asks for. Raises InvalidRequest when it makes no sense.

    These checks are the ones no setting can lift; the service's own, tighter bounds stand
    in its wire schemas. `checkpoint` None means whichever the engine has loaded,
    `sampler_name` None the engine's own choice.
    """

    kind: ClassVar[Kind]

    prompt: str
    negative_prompt: str = ""
    steps: int = 20
    cfg_scale: float = 7.5
    width: int = 512
    height: int = 512
    seed: int = RANDOM_SEED
    checkpoint: str | None = None
    sampler_name: str | None = None
    scheduler: str | None = None
    batch_size: int = 1

    def __post_init__(self) -> None:
        _require(bool(self.prompt), "prompt", "must not be empty")
        _require(self.steps >= 1, "steps", "must be at least 1")
        _require(self.batch_size >= 1, "batch_size", "must be at least 1")
        _require(math.isfinite(self.cfg_scale), "cfg_scale", "must be a finite number")
        _require(RANDOM_SEED <= self.seed <= MAX_SEED, "seed", f"must be -1 to {MAX_SEED}")
        for name in ("width", "height"):
            size = getattr(self, name)
            _require(size > 0 and size % SIZE_STEP == 0, name, f"must be a multiple of {SIZE_STEP}")

    @property
    def effective_steps(self) -> int:
        """Denoising steps each image really takes."""
        return self.steps

    @property
    def megapixel_steps(self) -> float:
        """The work asked for: millions of pixels x steps x images."""
        return self.width * self.height * self.effective_steps * self.batch_size / 1e6

    def with_seed(self) -> GenerationRequest:
        """The same request with its seed drawn, when it was left to chance."""
        if self.seed != RANDOM_SEED:
            return self
        return replace(self, seed=secrets.randbelow(MAX_SEED + 1 - self.batch_size))


@dataclass(frozen=True, kw_only=True)
class Txt2Img(GenerationRequest):
    """A picture from words alone."""

    kind: ClassVar[Kind] = "txt2img"


@dataclass(frozen=True, kw_only=True)
class Img2Img(GenerationRequest):
    """A picture from words and a picture; `denoising_strength` is above 0, to 1 (all new)."""

    kind: ClassVar[Kind] = "img2img"

    image: Picture
    denoising_strength: float = 0.75

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(0 < self.denoising_strength <= 1, "strength", "must be above 0 and at most 1")

    @property
    def effective_steps(self) -> int:
        return max(1, round(self.steps * self.denoising_strength))


@dataclass(frozen=True, kw_only=True)
class Inpainting(Img2Img):
    """Part of a picture made anew: where `mask` (the size of `image`) is white.

    `mask_blur` is a radius in pixels. `inpaint_full_res` paints the masked region alone at
    the full size and puts it back, as the WebUI's "only masked" does.
    """

    kind: ClassVar[Kind] = "inpainting"

    mask: Picture
    denoising_strength: float = 0.9
    mask_blur: int = 4
    inpaint_full_res: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        same_size = (self.mask.width, self.mask.height) == (self.image.width, self.image.height)
        _require(
            same_size,
            "mask",
            f"must be the size of the image, {self.image.width}x{self.image.height}, "
            f"not {self.mask.width}x{self.mask.height}",
        )
        _require(self.mask_blur >= 0, "mask_blur", "must not be negative")


@dataclass(frozen=True)
class GeneratedImage:
    """One picture, as the very bytes its engine made."""

    data: bytes = field(repr=False)
    media_type: str
    width: int
    height: int
    seed: int
    encoded: bytes | None = field(default=None, repr=False)
    """The base64 the engine sent, when it sent that: spares encoding it once more."""

    @cached_property
    def base64(self) -> bytes:
        return self.encoded or pybase64.b64encode(self.data)


@dataclass(frozen=True, slots=True)
class Generation:
    """What an engine answers. `images` has batch_size entries, seeds s, s+1, ...

    `checkpoint` and `parameters` say what was really used; `degraded` names the fields in
    which that is less than what was asked.
    """

    images: tuple[GeneratedImage, ...]
    checkpoint: str | None
    checkpoint_hash: str | None
    parameters: Mapping[str, object]
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a generation is: `fraction` 0 to 1, `step` of `steps`, seconds left if known."""

    fraction: float = 0.0
    step: int = 0
    steps: int = 0
    eta_s: float | None = None
    preview: bytes | None = field(default=None, repr=False)


def _require(holds: bool, field_name: str, message: str) -> None:
    if not holds:
        raise InvalidRequest(field_name, message)
