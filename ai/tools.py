"""Work on a picture that is not painting one: enlarging it, or saying what it shows.

A tool waits in the same queue as generations, for an engine works on one thing at a time.
It needs no checkpoint and has no seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

from ai.pictures import Picture

ToolKind = Literal["upscale", "caption"]
TOOLS: tuple[ToolKind, ...] = ("upscale", "caption")
CAPTION = "caption"
"""Under which of a Generation's parameters the words stand."""

_LIKE_STEPS = 10

SelfTool = TypeVar("SelfTool", bound="Tool")


@dataclass(frozen=True, kw_only=True)
class Tool:
    """What the queue needs to know of any tool."""

    kind: ClassVar[ToolKind]
    checkpoint: ClassVar[None] = None
    sampler_name: ClassVar[None] = None
    scheduler: ClassVar[None] = None
    effective_steps: ClassVar[int] = 1

    image: Picture

    @property
    def needs(self) -> frozenset[ToolKind]:
        return frozenset({self.kind})

    @property
    def megapixel_steps(self) -> float:
        """About how long it takes, in the measure of generations: as ten steps would."""
        return max(1.0, self.image.width * self.image.height * _LIKE_STEPS / 1e6)

    def with_seed(self: SelfTool) -> SelfTool:
        return self


@dataclass(frozen=True, kw_only=True)
class Upscale(Tool):
    """`image` made `width` x `height` pixels by one or two upscalers, its faces mended.

    `crop` cuts off what does not fit, else the shape is kept within that size; with `scale`
    the size is that many times the image's own. Visibilities and weights are 0 to 1.
    """

    kind: ClassVar[ToolKind] = "upscale"

    width: int
    height: int
    scale: float | None = None
    crop: bool = True
    upscaler_1: str = "None"
    upscaler_2: str = "None"
    extras_upscaler_2_visibility: float = 0.0
    gfpgan_visibility: float = 0.0
    codeformer_visibility: float = 0.0
    codeformer_weight: float = 0.0
    upscale_first: bool = False

    @property
    def megapixel_steps(self) -> float:
        return max(1.0, self.width * self.height * _LIKE_STEPS / 1e6)


@dataclass(frozen=True, kw_only=True)
class Caption(Tool):
    """What `image` shows, in words, by an interrogator: "clip" or "deepdanbooru"."""

    kind: ClassVar[ToolKind] = "caption"

    model: str = "clip"
