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
from typing import Any, ClassVar, Literal

import pybase64

from ai.errors import InvalidRequest
from ai.extras import Extras, Skill
from ai.pictures import Picture as Picture
from ai.tools import Tool, ToolKind

RANDOM_SEED = -1
MAX_SEED = 2**32 - 1
SIZE_STEP = 8
"""The latent grid of every Stable Diffusion family: other sizes are rounded by engines."""

Kind = Literal["txt2img", "img2img", "inpainting"]
KINDS: tuple[Kind, ...] = ("txt2img", "img2img", "inpainting")
Ability = Kind | ToolKind | Skill
"""What an engine may be able to do, and a request may need."""


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """What every kind of generation asks for. Raises InvalidRequest when it makes no sense.

    These checks are the ones no setting can lift; the service's own, tighter bounds stand
    in its wire schemas. `checkpoint` None means whichever the engine has loaded,
    `sampler_name` None the engine's own choice. `extras` is what only a WebUI can do, in the
    main.
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
    extras: Extras | None = None

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
    def needs(self) -> frozenset[Ability]:
        """What an engine must be able to do."""
        return frozenset({self.kind}) | (self.extras.skills if self.extras else frozenset())

    @property
    def is_left_to_chance(self) -> bool:
        """Whether the same request may make another picture next time."""
        extras = self.extras
        draws_subseed = bool(extras and extras.subseed_strength > 0 and extras.subseed < 0)
        return self.seed == RANDOM_SEED or draws_subseed

    @property
    def image_count(self) -> int:
        """How many pictures are asked for, with seeds s, s+1, ..."""
        return self.batch_size * (self.extras.n_iter if self.extras else 1)

    @property
    def result_size(self) -> tuple[int, int]:
        """Width and height of what comes out."""
        hires = self.extras.hires if self.extras else None
        return (hires.width, hires.height) if hires else (self.width, self.height)

    @property
    def megapixel_steps(self) -> float:
        """The work asked for: millions of pixels x steps x images, a second pass included."""
        each = self.width * self.height * self.effective_steps / 1e6
        if self.extras and self.extras.hires:
            each += self.extras.hires.megapixel_steps(self.steps)
        return each * self.image_count

    def with_seed(self) -> GenerationRequest:
        """The same request with its seed drawn, when it was left to chance; a subseed likewise."""
        drawn: dict[str, Any] = {}
        if self.seed == RANDOM_SEED:
            drawn["seed"] = secrets.randbelow(MAX_SEED + 1 - self.image_count)
        extras = self.extras
        if extras and extras.subseed_strength > 0 and extras.subseed == RANDOM_SEED:
            subseed = secrets.randbelow(MAX_SEED + 1 - self.image_count)
            drawn["extras"] = replace(extras, subseed=subseed)
        return replace(self, **drawn) if drawn else self


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


Work = GenerationRequest | Tool
"""What a pool has its engines do."""


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
    """What an engine answers. `images` has image_count entries, seeds s, s+1, ...;
    for a tool the one picture it made, if it makes any.

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
