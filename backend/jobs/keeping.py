"""Results of jobs: their images put into the store, and read again from what is kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from ai.errors import GenerationError
from ai.generation import GeneratedImage, Generation
from ai.pool import Outcome, Ticket
from backend.jobs.live import GenerationResult, MadeImage
from backend.jobs.records import Job
from backend.storage.base import ImageStore, StorageError

log = logging.getLogger(__name__)

IMAGE_LOST = "The image is no longer kept."


def end_of(ticket: Ticket, store: ImageStore) -> GenerationResult | Exception:
    """What came of a request that the pool is done with, its images kept."""
    try:
        return _stored(ticket.result(), store)
    except GenerationError as error:
        return error
    except Exception as error:
        log.exception("result not kept")
        return error


def _stored(outcome: Outcome, store: ImageStore) -> GenerationResult:
    """What came of a job, its images kept; one that could not be kept is said in a warning."""
    images, warnings = [], []
    for image in outcome.generation.images:
        image_id = None
        try:
            image_id = store.put(image.data, image.media_type).id
        except StorageError as error:
            log.warning("image not stored", extra={"error": str(error)})
            warnings.append(f"The image could not be stored, so it has no URL: {error}")
        images.append(MadeImage(image, image_id))
    return GenerationResult(tuple(images), outcome, tuple(dict.fromkeys(warnings)))


def fetchable(result: GenerationResult) -> GenerationResult | StorageError:
    """`result` for one who is to fetch it: an error when there is nothing to be fetched."""
    kept = any(made.image_id for made in result.images)
    return result if kept else StorageError(result.warnings[0])


def restored(job: Job, store: ImageStore) -> GenerationResult:
    """What `job`, which succeeded, has made; an image no longer kept is `lost`.

    Raises StorageError.
    """
    assert job.result is not None
    kept = job.result
    images = tuple(_image(image, store) for image in kept["images"])
    generation = Generation(
        images=tuple(made.image for made in images),
        checkpoint=kept["model"],
        checkpoint_hash=kept["hash"],
        parameters=kept["parameters"],
        degraded=tuple(kept["degraded"]),
    )
    outcome = Outcome(
        generation=generation,
        engine=job.engine or "",
        device=kept["device"],
        attempts=job.attempts,
        fallback=kept["fallback"],
        queue_s=job.queue_s or 0.0,
        engine_s=job.engine_s or 0.0,
    )
    warnings = [*kept["warnings"], *(IMAGE_LOST for made in images if made.lost)]
    return GenerationResult(images, outcome, tuple(dict.fromkeys(warnings)), kept["cached"])


def as_cached(result: GenerationResult) -> GenerationResult:
    """`result` as the answer to another job, for which no engine was asked."""
    outcome = replace(result.outcome, attempts=0, queue_s=0.0, engine_s=0.0)
    return replace(result, outcome=outcome, cached=True)


def _image(kept: Mapping[str, Any], store: ImageStore) -> MadeImage:
    image_id = UUID(kept["id"]) if kept["id"] else None
    data = store.read(image_id) if image_id else None
    image = GeneratedImage(
        data or b"", kept["media_type"], kept["width"], kept["height"], kept["seed"]
    )
    return MadeImage(image, image_id, lost=data is None)
