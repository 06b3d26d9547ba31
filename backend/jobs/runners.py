"""What front doors need of whoever runs jobs: in this process, or on workers elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

from ai.generation import GenerationRequest
from backend.jobs.live import GenerationResult
from backend.jobs.records import Job, Snapshot, Terms


class OpenJob(Protocol):
    """A job that has not ended as far as we know. `over` is set once its end is kept."""

    @property
    def id(self) -> UUID: ...

    @property
    def request(self) -> GenerationRequest:
        """What it asks for; of jobs that this process took in, or that are awaited."""
        ...

    @property
    def created_at(self) -> datetime: ...

    @property
    def is_running(self) -> bool:
        """Whether an engine is at work on it; of jobs that are awaited."""
        ...

    @property
    def over(self) -> threading.Event: ...

    def wait(self, timeout_s: float) -> bool:
        """Wait for it, until there is news or for `timeout_s`; False when there was none."""
        ...

    def leave(self) -> None:
        """Wait no more. Said by whoever was `attended` and goes before it is over."""
        ...

    def snapshot(self, *, preview: bool = False) -> Snapshot:
        """How it is now; many watchers cost no more than one."""
        ...

    def made_by(self) -> dict[str, object]:
        """Once it is `over`: its `engine` and `attempts`; nothing where there were none."""
        ...

    def end(self) -> GenerationResult:
        """What came of it, once it is `over`. Raises what it failed with, or ShuttingDown."""
        ...


Opened = TypeVar("Opened", bound=OpenJob)


class Runner(Protocol[Opened]):
    """Takes jobs in, finds them again, calls them off. Safe to use from many threads."""

    def start(self) -> None: ...

    def accept(
        self,
        request: GenerationRequest,
        *,
        caller: str,
        detached: bool,
        terms: Terms,
        attended: bool = False,
    ) -> Opened:
        """Queue `request` as a job, kept before any work is done on it.

        A `detached` one outlives whoever asked for it. `attended` says that this thread goes
        on to `wait` for it. Raises the errors of `ai.errors` when
        it is refused, StorageError when its pictures, and LedgerUnavailable when the job
        itself cannot be kept; KeyTaken when another job has the key that `terms` claims.
        """
        ...

    def release_key(self, live: Opened) -> None:
        """Its request is answered with an error, and may be sent again under the same key."""
        ...

    def detach(self, live: Opened) -> None:
        """Nobody waits for it on a connection any more. Raises StorageError, LedgerUnavailable."""
        ...

    def find(self, job_id: UUID) -> Opened | None:
        """The job, if it may be at work."""
        ...

    def awaited(self, caller: str) -> Sequence[Opened]:
        """The jobs that `caller` waits for on connections, oldest first.

        Their pictures may be without bytes. Raises LedgerUnavailable.
        """
        ...

    def cancel(self, live: Opened) -> bool:
        """Drop it from the queue or interrupt it; False when it had ended."""
        ...

    def cancel_kept(self, job: Job) -> bool:
        """Call off a job that nobody works on; False when it has ended."""
        ...

    def drain(self, grace_s: float) -> None:
        """Take no more; let what this process runs end within `grace_s` seconds."""
        ...
