"""A job that this process works on, and what those who wait for it or watch it see."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from uuid import UUID

from ai.generation import GeneratedImage, GenerationRequest
from ai.pool import Outcome, Ticket
from backend.jobs.attendance import Attendance
from backend.jobs.records import Job, Snapshot

SNAPSHOT_FRESH_S = 0.4
"""Watchers of one job within this time share one look at it."""


@dataclass(frozen=True, slots=True)
class MadeImage:
    """A picture and where it is kept: `image_id` is None when the store could not take it.

    `lost` says that `image` is without its bytes: they were kept once, and are no longer.
    """

    image: GeneratedImage
    image_id: UUID | None
    lost: bool = False


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """What came of a request: at least one image, and what the caller should know of it.

    `cached` says that it was made for another job, which asked for the same.
    """

    images: tuple[MadeImage, ...]
    outcome: Outcome
    warnings: tuple[str, ...] = ()
    cached: bool = False


@dataclass(eq=False)
class LiveJob:
    """A job from its acceptance to its end. `over` is set once its end is kept.

    Then either `result` or `error` is there. What is only `noted` of it is kept a moment later;
    `attendance` is of the thread that waits for it, if any. `ticket` is None until the pool has
    taken it, which after a restart may be a while; live jobs that ask for the same, and so have
    the same `sharing_key`, may hold one ticket together.
    """

    job: Job
    request: GenerationRequest
    sharing_key: str | None = None
    noted: bool = False
    attendance: Attendance = field(default_factory=Attendance)
    ticket: Ticket | None = None
    begun: bool = False
    canceled: bool = False
    result: GenerationResult | None = None
    error: Exception | None = None
    over: threading.Event = field(default_factory=threading.Event)
    submitting: threading.Lock = field(default_factory=threading.Lock)
    _looking: threading.Lock = field(default_factory=threading.Lock)
    _seen: dict[bool, tuple[float, Snapshot]] = field(default_factory=dict)

    def snapshot(self, *, preview: bool = False) -> Snapshot:
        """How it is now; many watchers cost the pool and the engine one look."""
        with self._looking:
            seen_at, seen = self._seen.get(preview, (float("-inf"), None))
            now = time.monotonic()
            if seen is None or now - seen_at >= SNAPSHOT_FRESH_S:
                seen = self._look(preview)
                self._seen[preview] = (now, seen)
            return seen

    def _look(self, preview: bool) -> Snapshot:
        ticket = self.ticket
        if ticket is None or ticket.state == "queued" or ticket.engine is None:
            position = ticket.position if ticket else None
            return Snapshot("queued", position=position, eta_s=ticket.eta_s if ticket else None)
        progress = ticket.progress(preview=preview)
        return Snapshot(
            "processing",
            eta_s=progress.eta_s if progress.eta_s is not None else ticket.eta_s,
            fraction=progress.fraction,
            step=progress.step,
            steps=progress.steps,
            preview=progress.preview if preview else None,
        )
