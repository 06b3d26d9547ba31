"""How jobs begin: new, or again after a restart."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from ai.correlation import Correlation
from ai.generation import GenerationRequest
from backend.jobs.codec import request_from, with_pictures, words_of
from backend.jobs.records import Interrupted, Job
from backend.storage.base import ImageStore

MAX_RUNS = 2
"""A job cut short is put back once; one cut short twice would perhaps bring us down each time."""


def new_job(
    job_id: UUID,
    request: GenerationRequest,
    caller: str,
    store: ImageStore,
    correlation: Correlation,
    *,
    detached: bool,
    fresh: bool,
) -> Job:
    """A queued job, with all it needs to outlive this process if `detached`.

    Raises StorageError.
    """
    return Job(
        id=job_id,
        caller=caller,
        kind=request.kind,
        status="queued",
        detached=detached,
        request=with_pictures(request, store) if detached else words_of(request),
        created_at=datetime.now(UTC),
        request_id=correlation.request_id,
        traceparent=correlation.traceparent,
        fresh=fresh,
    )


def request_again(job: Job, store: ImageStore) -> GenerationRequest:
    """What a job of an earlier process asks for.

    Raises Interrupted when it is not to be run again, PictureLost and StorageError when it
    cannot be.
    """
    if not job.detached:
        raise Interrupted("The service restarted before this was done; ask again.")
    if job.status == "processing" and job.runs >= MAX_RUNS:
        raise Interrupted("The service stopped twice while it worked on this job.")
    return request_from(job.kind, job.request, store)
