"""One generation under way: how far it is, and what stops it."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ai.errors import (
    EngineFailed,
    EngineMadeNan,
    EngineTimeout,
    GenerationCanceled,
)
from ai.generation import Progress

log = logging.getLogger(__name__)

_PREVIEW_SHARE = 0.1
"""At most this share of the time goes into previews."""
_PREVIEW_WANTED_S = 10.0
"""How long after it was last asked for a preview is kept fresh."""

Preview = Callable[[Any], bytes]
"""From the latent a step ended with to a small picture's file."""


class Run:
    """What the thread that paints shares with those that ask, or call it off.

    `images` pictures of `steps` steps each, until `deadline` on the monotonic clock.
    """

    def __init__(self, engine: str, *, images: int, steps: int, deadline: float) -> None:
        self._engine = engine
        self._images = images
        self._steps = steps
        self._deadline = deadline
        self._image = 0
        self._step = 0
        self._started_at = time.monotonic()
        self._canceled = threading.Event()
        self._stopped_by: BaseException | None = None
        self._preview: bytes | None = None
        self._preview_wanted_at = -math.inf
        self._next_preview_at = 0.0

    def cancel(self) -> None:
        """Stop at the next step."""
        self._canceled.set()

    def begin_image(self, image: int) -> None:
        """Say which picture comes next, from 0. Raises what should stop it before it starts."""
        if image == 0:
            self._started_at = time.monotonic()
        self._image, self._step = image, 0
        reason = self._reason_to_stop()
        if reason is not None:
            raise reason

    def raise_if_stopped(self) -> None:
        """Raise why the callback stopped the picture, if it did."""
        if self._stopped_by is not None:
            raise self._stopped_by

    def callback(self, preview: Preview) -> Callable[[int, int, Any], bool]:
        """What the library is to call after each step; True stops it.

        It lets nothing out: an exception there would abort the whole process.
        """

        def after_step(step: int, steps: int, latent: Any) -> bool:
            try:
                self._step, self._steps = step + 1, steps
                self._stopped_by = self._reason_to_stop() or self._flaw(latent)
                if self._stopped_by is None:
                    self._keep_preview(preview, latent)
            except Exception as error:
                self._stopped_by = EngineFailed(self._engine, f"{self._engine} failed.")
                self._stopped_by.__cause__ = error
            except BaseException as error:
                self._stopped_by = error
            return self._stopped_by is not None

        return after_step

    def progress(self, *, preview: bool) -> Progress:
        if preview:
            self._preview_wanted_at = time.monotonic()
        total = self._images * self._steps
        done = min(total, self._image * self._steps + self._step)
        elapsed_s = time.monotonic() - self._started_at
        return Progress(
            fraction=done / total,
            step=done,
            steps=total,
            eta_s=elapsed_s / done * (total - done) if done else None,
            preview=self._preview if preview else None,
        )

    def _reason_to_stop(self) -> BaseException | None:
        if self._canceled.is_set():
            return GenerationCanceled("The generation was called off.")
        if time.monotonic() > self._deadline:
            return EngineTimeout(self._engine, f"{self._engine} did not finish in its time.")
        return None

    def _flaw(self, latent: Any) -> BaseException | None:
        if np.isfinite(latent.data).all():
            return None
        return EngineMadeNan(self._engine, f"{self._engine}'s numbers overflowed.")

    def _keep_preview(self, preview: Preview, latent: Any) -> None:
        now = time.monotonic()
        is_wanted = now - self._preview_wanted_at < _PREVIEW_WANTED_S
        if not is_wanted or now < self._next_preview_at:
            return
        try:
            self._preview = preview(latent)
        # A picture without previews is better than none.
        except Exception as error:
            log.warning("preview failed", extra={"error": type(error).__name__})
        cost_s = time.monotonic() - now
        self._next_preview_at = now + cost_s / _PREVIEW_SHARE
