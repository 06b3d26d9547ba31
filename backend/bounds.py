"""How much a caller may ask for: the settings' numbers as one value, and sizes fitted to them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ai.generation import MAX_SEED, RANDOM_SEED, SIZE_STEP
from backend.settings import Settings


@dataclass(frozen=True, slots=True)
class Bounds:
    """Inclusive limits; pixels and sizes are of the result."""

    max_prompt_chars: int = 4000
    max_steps: int = 150
    min_cfg_scale: float = 1.0
    max_cfg_scale: float = 30.0
    min_size: int = 64
    max_size: int = 2048
    max_pixels: int = 2**22
    max_batch_size: int = 4
    min_seed: int = RANDOM_SEED
    max_seed: int = MAX_SEED

    @classmethod
    def of(cls, settings: Settings) -> Bounds:
        return cls(
            max_prompt_chars=settings.max_prompt_chars,
            max_steps=settings.max_steps,
            max_cfg_scale=settings.max_cfg_scale,
            min_size=settings.min_size,
            max_size=settings.max_size,
            max_pixels=settings.max_pixels,
            max_batch_size=settings.max_batch_size,
        )

    def fitted(self, width: int, height: int) -> tuple[int, int]:
        """The allowed size nearest to a picture's own, its shape kept as far as bounds allow.

        A picture within bounds is only rounded to multiples of 8; a larger one is scaled
        down, a smaller one up.
        """
        scale = min(
            1.0, self.max_size / max(width, height), math.sqrt(self.max_pixels / (width * height))
        )
        scale = max(
            scale, min(self.min_size / min(width, height), self.max_size / max(width, height))
        )
        fit_width, fit_height = (self._rounded(side * scale) for side in (width, height))
        while fit_width * fit_height > self.max_pixels:
            if fit_width >= fit_height:
                fit_width -= SIZE_STEP
            else:
                fit_height -= SIZE_STEP
        return fit_width, fit_height

    def _rounded(self, side: float) -> int:
        nearest = round(side / SIZE_STEP) * SIZE_STEP
        return max(self.min_size, min(self.max_size, nearest))
