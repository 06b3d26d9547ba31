"""What an earlier process left undone: queued again, or failed where that is due."""

from __future__ import annotations

from dataclasses import dataclass, replace

from backend.accounts.admission import Admission
from backend.jobs.beginnings import request_again
from backend.jobs.codec import PictureLost, discard_pictures
from backend.jobs.endings import ending_of
from backend.jobs.ledger import JobLedger
from backend.jobs.live import LiveJob
from backend.jobs.records import Interrupted, Job
from backend.jobs.repeats import Repeats
from backend.storage.base import ImageStore, StorageError


@dataclass(frozen=True, slots=True)
class Leftovers:
    """The jobs that no process works on any more, as the ledger has them."""

    ledger: JobLedger
    store: ImageStore
    repeats: Repeats
    admission: Admission

    def all_taken_up(self) -> list[LiveJob]:
        """Those to be run again, oldest first; the others have ended. Raises LedgerUnavailable."""
        return [live for job in self.ledger.unfinished() if (live := self.taken_up(job))]

    def taken_up(self, job: Job) -> LiveJob | None:
        """`job`, to be run again; None when it has to be given up. Raises LedgerUnavailable."""
        try:
            request = request_again(job, self.store)
        except (Interrupted, PictureLost, StorageError) as error:
            self._give_up(job, error)
            return None
        if job.status == "processing":
            self.ledger.put_back(job.id)
        key = None if job.fresh else self.repeats.key_of(request, job.caller)
        self.admission.resumed(job.id, job.caller)
        return LiveJob(replace(job, status="queued"), request, key)

    def _give_up(self, job: Job, error: Exception) -> None:
        cut_short = int(job.status == "processing")
        self.ledger.ended(job.id, replace(ending_of(error, None), attempts=cut_short))
        self.admission.ended_unheld(job.id, job.caller, refund=True)
        discard_pictures(job.request, self.store)
