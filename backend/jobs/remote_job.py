"""A job that some worker works on, or will, as a web process sees it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial
from uuid import UUID

from ai.errors import GenerationCanceled, ShuttingDown
from ai.generation import GenerationRequest
from backend.errors import KeptFailure
from backend.jobs.live import GenerationResult, SharedLook
from backend.jobs.records import Job, Snapshot


class RemoteJob:
    """`over` is set once its end was heard of, or nobody waits for it here any more.

    A `patient` one waits for an engine however long that takes. What it is (`request`,
    `created_at`) is known of jobs that this process took in, and of those it found awaited
    somewhere: `is_running` as they were found.
    """

    request: GenerationRequest
    created_at: datetime
    is_running: bool = False

    def __init__(
        self,
        job_id: UUID,
        look: Callable[[UUID, bool], Snapshot],
        kept: Callable[[UUID], Job | None],
        restored: Callable[[Job], GenerationResult],
    ) -> None:
        self.id = job_id
        self.over = threading.Event()
        self.patient = True
        self._look = partial(look, job_id)
        self._looks = SharedLook()
        self._kept = kept
        self._restored = restored
        self._job: Job | None = None

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is over, at most `timeout_s`; False when it is not."""
        return self.over.wait(timeout_s)

    def leave(self) -> None:
        """Nothing here depends on who waits."""

    def snapshot(self, *, preview: bool = False) -> Snapshot:
        """How it is now; many watchers cost Redis one look."""
        return self._looks.take(self._look, preview=preview)

    def made_by(self) -> dict[str, object]:
        """Its engine and attempts, once its end was asked for; nothing where there were none."""
        if self._job is None or self._job.engine is None:
            return {}
        return {"engine": self._job.engine, "attempts": self._job.attempts}

    def end(self) -> GenerationResult:
        """What came of it, once it is `over`. Raises what it failed with, or ShuttingDown."""
        job = self._job = self._kept(self.id)
        if job is None or not job.has_ended:
            raise ShuttingDown
        if job.status == "succeeded":
            return self._restored(job)
        if job.status == "canceled":
            raise GenerationCanceled(job.error_message or "")
        raise KeptFailure(job.error_code or "", job.error_message or "")
