"""What a WebUI can do beyond the plain request: values of our own, never a caller's raw fields.

Fields keep the WebUI's spelling where there is one; None leaves a choice to the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ai.pictures import Picture

Skill = Literal["webui", "clip_skip", "vae", "controlnet", "adetailer"]
"""What only some engines can: the WebUI's own extras, two of its options, two extensions."""

AUTOMATIC_VAE = "Automatic"
MAX_CLIP_SKIP = 12
"""The most layers that the WebUI's own page lets one skip."""
RESIZE_TO_FIT = 0
FILL_FROM_SURROUNDINGS, FILL_WITH_ORIGINAL = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HiresFix:
    """A second pass over the picture enlarged to `width` x `height` pixels.

    `steps` of it are taken, as many as before the enlargement for 0, at `denoising_strength`.
    """

    width: int
    height: int
    upscaler: str
    steps: int = 0
    denoising_strength: float = 0.7
    prompt: str = ""
    negative_prompt: str = ""

    def megapixel_steps(self, steps: int) -> float:
        """Its work for one image whose first pass takes `steps`."""
        taken = max(1, round((self.steps or steps) * self.denoising_strength))
        return self.width * self.height * taken / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlUnit:
    """One picture that ControlNet holds the generation to. Guidance is 0 to 1 of the steps."""

    module: str
    model: str
    image: Picture | None = None
    mask: Picture | None = None
    weight: float = 1.0
    resize_mode: str = "Crop and Resize"
    control_mode: str = "Balanced"
    processor_res: int = 512
    threshold_a: float = 64
    threshold_b: float = 64
    guidance_start: float = 0.0
    guidance_end: float = 1.0
    pixel_perfect: bool = False
    hr_option: str = "Both"


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailUnit:
    """One thing that ADetailer finds in the picture and paints once more; None: its own default."""

    ad_model: str
    ad_model_classes: str = ""
    ad_prompt: str = ""
    ad_negative_prompt: str = ""
    ad_confidence: float = 0.3
    ad_mask_k_largest: int = 0
    ad_mask_min_ratio: float = 0.0
    ad_mask_max_ratio: float = 1.0
    ad_dilate_erode: int = 4
    ad_x_offset: int = 0
    ad_y_offset: int = 0
    ad_mask_merge_invert: str = "None"
    ad_mask_blur: int = 4
    ad_denoising_strength: float = 0.4
    ad_inpaint_only_masked: bool = True
    ad_inpaint_only_masked_padding: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """All of it for one request.

    `n_iter` batches are made one after the other. `subseed` is mixed in by
    `subseed_strength`, 0 to 1. `inpainting_fill`: 0 surroundings, 1 original, 2 noise, 3
    nothing. `resize_mode`: 0 resize, 1 crop, 2 fill, 3 in the latent.
    """

    n_iter: int = 1
    subseed: int = -1
    subseed_strength: float = 0.0
    clip_skip: int | None = None
    vae: str | None = None
    restore_faces: bool = False
    tiling: bool = False
    eta: float | None = None
    s_churn: float | None = None
    s_tmax: float | None = None
    s_tmin: float | None = None
    s_noise: float | None = None
    s_min_uncond: float | None = None
    resize_mode: int = RESIZE_TO_FIT
    inpainting_fill: int = FILL_WITH_ORIGINAL
    inpaint_full_res_padding: int = 32
    hires: HiresFix | None = None
    control: tuple[ControlUnit, ...] = ()
    details: tuple[DetailUnit, ...] = ()

    @property
    def wanted(self) -> dict[str, Skill]:
        """The fields that ask for something, and what an engine must be able to do for each."""
        return {
            name: skill
            for name, (skill, neutral) in _SKILL_OF.items()
            if getattr(self, name) not in neutral
        }

    @property
    def skills(self) -> frozenset[Skill]:
        """What an engine must be able to do for these."""
        return frozenset(self.wanted.values())


_SKILL_OF: dict[str, tuple[Skill, tuple[object, ...]]] = {
    "subseed_strength": ("webui", (0.0,)),
    "clip_skip": ("clip_skip", (None, 1)),
    "vae": ("vae", (None, AUTOMATIC_VAE)),
    "restore_faces": ("webui", (False,)),
    "tiling": ("webui", (False,)),
    "eta": ("webui", (None,)),
    "s_churn": ("webui", (None,)),
    "s_tmax": ("webui", (None,)),
    "s_tmin": ("webui", (None,)),
    "s_noise": ("webui", (None,)),
    "s_min_uncond": ("webui", (None,)),
    "resize_mode": ("webui", (RESIZE_TO_FIT,)),
    "inpainting_fill": ("webui", (FILL_FROM_SURROUNDINGS, FILL_WITH_ORIGINAL)),
    "hires": ("webui", (None,)),
    "control": ("controlnet", ((),)),
    "details": ("adetailer", ((),)),
}
"""The skill each field needs, unless it holds one of the values that any engine does, or does
something near enough for."""
