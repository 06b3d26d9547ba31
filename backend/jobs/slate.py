"""Jobs that are written down a moment later, all that have gathered in one transaction."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from backend.jobs.records import ENDED, Ending, Job, LedgerUnavailable, Status

log = logging.getLogger(__name__)

GATHER_S = 0.1
"""How long jobs that have ended gather."""
RIPE = timedelta(seconds=1)
"""Those that have not are written after so long: they take seconds, as most do."""
AGAIN_AFTER_S = 1.0
MOST = 10_000
"""So many wait for a database that is away; then no more are taken."""
CLOSE_S = 5.0


@dataclass(slots=True)
class Noted:
    """A job as it was taken in, and what has changed since, put together when it is written."""

    job: Job
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> Status:
        status: Status = self.changes.get("status", self.job.status)
        return status

    @property
    def is_ripe(self) -> bool:
        """Whether it will not change here any more, or takes its time."""
        return self.status in ENDED or datetime.now(UTC) - self.job.created_at >= RIPE

    def as_it_is(self) -> Job:
        return replace(self.job, **self.changes)


class Slate:
    """New jobs that `write` is yet to keep; until then they change here, at no cost.

    For jobs whose caller waits on an open connection: if this process dies he learns it by that,
    and nothing of them is to be taken up again. `write` raises LedgerUnavailable, keeping none.
    """

    def __init__(self, write: Callable[[Sequence[Job]], None]) -> None:
        self._write = write
        self._jobs: dict[UUID, Noted] = {}
        self._in_flight: frozenset[UUID] = frozenset()
        self._changing = threading.Lock()
        self._writing = threading.Lock()
        self._stirred = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slate", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Write what is left."""
        self._closing.set()
        self._stirred.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)
        try:
            self.settle()
        except LedgerUnavailable:
            log.error("jobs not kept", extra={"jobs": len(self._jobs)})

    def note(self, job: Job) -> None:
        """Take a new job. Raises LedgerUnavailable when too many wait already."""
        with self._changing:
            if len(self._jobs) >= MOST:
                raise LedgerUnavailable("The database has been away for too long.")
            self._jobs[job.id] = Noted(job)
        self._stirred.set()

    def started(self, job_id: UUID) -> bool | None:
        """As JobLedger.started; None for a job that is not here."""

        def change(noted: Noted) -> bool:
            if noted.status != "queued":
                return False
            noted.changes |= {
                "status": "processing",
                "started_at": datetime.now(UTC),
                "runs": noted.job.runs + 1,
            }
            return True

        return self._change(job_id, change)

    def ended(self, job_id: UUID, ending: Ending) -> bool | None:
        """As JobLedger.ended; None for a job that is not here."""

        def change(noted: Noted) -> bool:
            if noted.status in ENDED:
                return False
            noted.changes |= {name: getattr(ending, name) for name in Ending.__slots__}
            noted.changes["ended_at"] = datetime.now(UTC)
            noted.changes["attempts"] = noted.job.attempts + ending.attempts
            return True

        return self._change(job_id, change)

    def settle(self) -> None:
        """Return once all that was noted before is written. Raises LedgerUnavailable."""
        if self._jobs or self._in_flight:
            self._write_those(all_of_them=True)

    def _write_those(self, *, all_of_them: bool) -> None:
        with self._writing:
            with self._changing:
                due = {
                    job_id: noted
                    for job_id, noted in self._jobs.items()
                    if all_of_them or noted.is_ripe
                }
                self._in_flight = frozenset(due)
                for job_id in due:
                    del self._jobs[job_id]
            try:
                if due:
                    self._write([noted.as_it_is() for noted in due.values()])
            except BaseException:
                with self._changing:
                    self._jobs = due | self._jobs
                raise
            finally:
                self._in_flight = frozenset()

    def _change(self, job_id: UUID, change: Callable[[Noted], bool]) -> bool | None:
        while True:
            with self._changing:
                noted = self._jobs.get(job_id)
                if noted is not None:
                    return change(noted)
                if job_id not in self._in_flight:
                    return None
            with self._writing:  # it is just being written: there it is, or here again
                pass

    def _run(self) -> None:
        while not self._closing.is_set():
            self._stirred.wait()
            self._closing.wait(GATHER_S)
            self._stirred.clear()
            pause_s = 0.0
            try:
                self._write_those(all_of_them=False)
            except LedgerUnavailable:
                pause_s = AGAIN_AFTER_S
            except Exception:
                log.exception("jobs not written")
                pause_s = AGAIN_AFTER_S
            self._closing.wait(pause_s)
            if self._jobs:
                self._stirred.set()
