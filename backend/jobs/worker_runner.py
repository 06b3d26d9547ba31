"""Runs jobs that were taken in elsewhere: one at a time as this worker claims them."""

from __future__ import annotations

from dataclasses import replace

from ai.errors import EngineError
from backend.jobs.beginnings import MAX_RUNS
from backend.jobs.live import GenerationResult, LiveJob
from backend.jobs.records import Job, seconds_waited
from backend.jobs.runner import JobRunner


class WorkerRunner(JobRunner):
    """A JobRunner whose jobs may be taken away from it.

    Whoever waits for one does so elsewhere, and so all are detached here. One that an engine
    here let down is put back, once, for another worker to try.
    """

    def take_up(self, job: Job) -> LiveJob | None:
        """Work on `job`, which was claimed; None when it was given up, its end kept.

        It is `over` at once where no engine can be reached. Raises LedgerUnavailable.
        """
        live = self._leftovers.taken_up(replace(job, detached=True))
        if live is None:
            return None
        live.waited_s = seconds_waited(job)
        self._live[job.id] = live
        if not self._resumed(live):
            self.give_up(live)
        return live

    def give_up(self, live: LiveJob) -> None:
        """It has ended elsewhere, or is another's: keep nothing more of it."""
        self._let_go(live)
        self._admission.ended(live.id, refund=False)
        with live.submitting:
            live.canceled = True
            ticket = live.ticket
        if ticket is not None and not self._repeats.leave(live):
            ticket.cancel()

    def _conclude(self, live: LiveJob, end: GenerationResult | Exception) -> None:
        if self.find(live.id) is not live:
            return
        if isinstance(end, EngineError) and end.elsewhere and self._may_run_again(live):
            self._kept(lambda: self._ledger.put_back(live.id))
            self._let_go(live)
        else:
            super()._conclude(live, end)

    def _may_run_again(self, live: LiveJob) -> bool:
        return live.begun and not live.canceled and live.job.runs + 1 < MAX_RUNS
