"""The use case: ask the pool for an image, keep what it makes. No web in here."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from ai.errors import DeadlineExceeded, GenerationCanceled
from ai.generation import GeneratedImage, GenerationRequest
from ai.pool import EnginePool, Outcome, Ticket
from backend.storage.base import ImageStore, StorageError, StoredImage

log = logging.getLogger(__name__)

CALLER_CHECK_S = 0.5
"""How often a waiting request looks whether its caller is still there."""


@dataclass(frozen=True, slots=True)
class MadeImage:
    """A picture and where it is kept; `stored` is None when the store could not take it."""

    image: GeneratedImage
    stored: StoredImage | None


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """What came of a request: at least one image, and what the caller should know of it."""

    images: tuple[MadeImage, ...]
    outcome: Outcome
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageGenerator:
    """Makes and keeps images. `deadline_s` bounds a request from its arrival to its answer."""

    pool: EnginePool
    store: ImageStore
    deadline_s: float

    def generate(
        self,
        request: GenerationRequest,
        *,
        caller: str,
        caller_left: Callable[[], bool] = lambda: False,
        url_only: bool = False,
    ) -> GenerationResult:
        """Queue `request` for `caller`, wait for it, store its images.

        A caller who has left (`caller_left`) is taken out of the queue, or his running
        generation interrupted. With `url_only` an image that cannot be stored is an error,
        since nothing else of it would be answered.

        Raises the errors of `ai.errors`; StorageError when `url_only`.
        """
        ticket = self.pool.submit(request, caller=caller, timeout_s=self.deadline_s)
        self._wait(ticket, caller_left)
        outcome = ticket.result()
        images, warnings = self._keep(outcome, url_only)
        return GenerationResult(images, outcome, warnings)

    def _wait(self, ticket: Ticket, caller_left: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self.deadline_s
        while not ticket.wait(CALLER_CHECK_S):
            if caller_left():
                ticket.cancel()
                raise GenerationCanceled("The caller went away.")
            if time.monotonic() > deadline:
                ticket.cancel()
                raise DeadlineExceeded(f"Not done within {self.deadline_s:g} s; try again later.")

    def _keep(
        self, outcome: Outcome, url_only: bool
    ) -> tuple[tuple[MadeImage, ...], tuple[str, ...]]:
        made, warnings = [], []
        for image in outcome.generation.images:
            try:
                stored = self.store.put(image.data, image.media_type)
            except StorageError as error:
                if url_only:
                    raise
                log.warning("image not stored", extra={"error": str(error)})
                warnings.append(f"The image could not be stored, so it has no URL: {error}")
                stored = None
            made.append(MadeImage(image, stored))
        return tuple(made), tuple(dict.fromkeys(warnings))
