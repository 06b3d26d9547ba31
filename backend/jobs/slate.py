"""Jobs that are written down a moment later, all that have gathered in one transaction."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from backend.jobs.records import Ending, Job, LedgerUnavailable

log = logging.getLogger(__name__)

GATHER_S = 0.1
"""How long jobs that have ended gather."""
RIPE = timedelta(seconds=1)
"""Those that have not are written after so long: they take seconds, as most do."""
AGAIN_AFTER_S = 1.0
MOST = 10_000
"""So many wait for a database that is away; then no more are taken."""
CLOSE_S = 5.0


class Slate:
    """New jobs that `write` is yet to keep; until then they change here, at no cost.

    For jobs whose caller waits on an open connection: if this process dies he learns it by that,
    and nothing of them is to be taken up again. `write` raises LedgerUnavailable, keeping none.
    """

    def __init__(self, write: Callable[[Sequence[Job]], None]) -> None:
        self._write = write
        self._jobs: dict[UUID, Job] = {}
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
            self._jobs[job.id] = job
        self._stirred.set()

    def started(self, job_id: UUID) -> bool | None:
        """As JobLedger.started; None for a job that is not here."""
        return self._change(
            job_id,
            lambda job: job.status == "queued",
            lambda job: {
                "status": "processing",
                "started_at": datetime.now(UTC),
                "runs": job.runs + 1,
            },
        )

    def ended(self, job_id: UUID, ending: Ending) -> bool | None:
        """As JobLedger.ended; None for a job that is not here."""
        return self._change(
            job_id,
            lambda job: not job.has_ended,
            lambda job: {
                **{name: getattr(ending, name) for name in Ending.__slots__},
                "ended_at": datetime.now(UTC),
                "attempts": job.attempts + ending.attempts,
            },
        )

    def settle(self) -> None:
        """Return once all that was noted before is written. Raises LedgerUnavailable."""
        if self._jobs or self._in_flight:
            self._write_those(lambda _: True)

    def _write_those(self, due: Callable[[Job], bool]) -> None:
        with self._writing:
            with self._changing:
                jobs = [job for job in self._jobs.values() if due(job)]
                self._in_flight = frozenset(job.id for job in jobs)
                for job_id in self._in_flight:
                    del self._jobs[job_id]
            try:
                if jobs:
                    self._write(jobs)
            except BaseException:
                with self._changing:
                    self._jobs = {job.id: job for job in jobs} | self._jobs
                raise
            finally:
                self._in_flight = frozenset()

    def _change(
        self,
        job_id: UUID,
        may: Callable[[Job], bool],
        change: Callable[[Job], dict[str, Any]],
    ) -> bool | None:
        while True:
            with self._changing:
                job = self._jobs.get(job_id)
                if job is not None:
                    allowed = may(job)
                    if allowed:
                        self._jobs[job_id] = replace(job, **change(job))
                    return allowed
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
                self._write_those(ripe_at(datetime.now(UTC)))
            except LedgerUnavailable:
                pause_s = AGAIN_AFTER_S
            except Exception:
                log.exception("jobs not written")
                pause_s = AGAIN_AFTER_S
            self._closing.wait(pause_s)
            if self._jobs:
                self._stirred.set()


def ripe_at(now: datetime) -> Callable[[Job], bool]:
    """Whether a job is to be written now: it will not change here any more, or takes its time."""
    return lambda job: job.has_ended or now - job.created_at >= RIPE
