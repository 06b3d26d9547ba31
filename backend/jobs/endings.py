"""How jobs end, in the words that are kept."""

from __future__ import annotations

import logging
from typing import Any

from ai.errors import GenerationCanceled
from ai.pool import Ticket
from backend.errors import problem_of
from backend.jobs.live import GenerationResult
from backend.jobs.records import Ending, Job

log = logging.getLogger(__name__)


def ending_of(end: GenerationResult | Exception, ticket: Ticket | None) -> Ending:
    """What is kept of how a job ended."""
    if isinstance(end, GenerationResult):
        outcome = end.outcome
        return Ending(
            status="succeeded",
            attempts=outcome.attempts,
            engine=outcome.engine,
            result=result_of(end),
            queue_s=outcome.queue_s,
            engine_s=outcome.engine_s,
        )
    problem = problem_of(end)
    return Ending(
        status="canceled" if isinstance(end, GenerationCanceled) else "failed",
        attempts=ticket.attempts if ticket else 0,
        engine=ticket.engine if ticket else None,
        error_code=problem.code,
        error_message=problem.detail,
    )


def is_refunded(end: GenerationResult | Exception, ticket: Ticket | None) -> bool:
    """Whether a job that ended so costs its caller nothing.

    No engine made it, or in vain. One called off at work costs what it was charged.
    """
    if isinstance(end, GenerationResult):
        return end.cached
    never_ran = ticket is None or ticket.attempts == 0
    return never_ran or not isinstance(end, GenerationCanceled)


def result_of(result: GenerationResult) -> dict[str, Any]:
    """What is kept of what a job made: the images by id, and how they were made."""
    generation = result.outcome.generation
    return {
        "images": [
            {
                "id": str(made.image_id) if made.image_id else None,
                "seed": made.image.seed,
                "media_type": made.image.media_type,
                "width": made.image.width,
                "height": made.image.height,
            }
            for made in result.images
        ],
        "model": generation.checkpoint,
        "hash": generation.checkpoint_hash,
        "fallback": result.outcome.fallback,
        "cached": result.cached,
        "device": result.outcome.device,
        "parameters": dict(generation.parameters),
        "degraded": list(generation.degraded),
        "warnings": list(result.warnings),
    }


def tell_ending(job: Job, ending: Ending) -> None:
    """A log line for the end of a job that no request waits for, and so tells of."""
    if not job.detached:
        return
    told = {
        "job_id": str(job.id),
        "request_id": job.request_id,
        "caller": job.caller,
        "status": ending.status,
        "engine": ending.engine,
        "attempts": ending.attempts,
        "error": ending.error_code,
        "queue_ms": _ms(ending.queue_s),
        "engine_ms": _ms(ending.engine_s),
    }
    log.info("job ended", extra={name: value for name, value in told.items() if value is not None})


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
