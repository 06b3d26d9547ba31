"""A job that this process works on, and what those who wait for it or watch it see."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from ai.errors import ShuttingDown
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


class SharedLook:
    """Many watchers cost those who know how a job stands one look."""

    def __init__(self) -> None:
        self._looking = threading.Lock()
        self._seen: dict[bool, tuple[float, Snapshot]] = {}

    def take(self, look: Callable[[bool], Snapshot], *, preview: bool) -> Snapshot:
        """What was seen last, or what `look` sees now where that is too long ago."""
        with self._looking:
            seen_at, seen = self._seen.get(preview, (float("-inf"), None))
            now = time.monotonic()
            if seen is None or now - seen_at >= SNAPSHOT_FRESH_S:
                seen = look(preview)
                self._seen[preview] = (now, seen)
            return seen


@dataclass(eq=False)
class LiveJob:
    """A job from its acceptance to its end. `over` is set once its end is kept.

    Then either `result` or `error` is there. What is only `noted` of it is kept a moment later;
    it had waited `waited_s` when this process took it; `attendance` is of the thread that waits
    for it, if any. `ticket` is None until the pool has taken it, which after a restart may be a
    while; live jobs that ask for the same, and so have the same `sharing_key`, may hold one
    ticket together.
    """

    job: Job
    request: GenerationRequest
    sharing_key: str | None = None
    noted: bool = False
    waited_s: float = 0.0
    attendance: Attendance = field(default_factory=Attendance)
    ticket: Ticket | None = None
    begun: bool = False
    canceled: bool = False
    result: GenerationResult | None = None
    error: Exception | None = None
    over: threading.Event = field(default_factory=threading.Event)
    submitting: threading.Lock = field(default_factory=threading.Lock)
    _looks: SharedLook = field(default_factory=SharedLook)

    @property
    def id(self) -> UUID:
        return self.job.id

    @property
    def created_at(self) -> datetime:
        return self.job.created_at

    @property
    def is_running(self) -> bool:
        return self.snapshot().status == "processing"

    def wait(self, timeout_s: float) -> bool:
        """Wait for something to do for it, and do that; False when there was nothing."""
        return self.attendance.serve(timeout_s)

    def leave(self) -> None:
        """Wait no more."""
        self.attendance.leave()

    @property
    def has_ended(self) -> bool:
        """Whether its end was kept here, rather than left to another process."""
        return self.result is not None or self.error is not None

    def made_by(self) -> dict[str, object]:
        """Which engine it had, and how many were asked; nothing where none was."""
        made = self.result.outcome if self.result else self.ticket
        return {"engine": made.engine, "attempts": made.attempts} if made else {}

    def end(self) -> GenerationResult:
        """What came of it, once it is `over`. Raises what it failed with, or ShuttingDown."""
        if self.result is None:
            raise self.error or ShuttingDown
        return self.result

    def snapshot(self, *, preview: bool = False) -> Snapshot:
        """How it is now; many watchers cost the pool and the engine one look."""
        return self._looks.take(self._look, preview=preview)

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
