"""The web's side of jobs that workers run: takes them in, wakes a worker, hears of their end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from uuid import UUID, uuid4
from weakref import WeakValueDictionary

from ai.correlation import Correlation
from ai.errors import DeadlineExceeded, GenerationCanceled, GenerationError, QueueFull, ShuttingDown
from ai.generation import RANDOM_SEED, GenerationRequest
from backend.accounts.admission import Admission
from backend.jobs.beginnings import new_job
from backend.jobs.bulletin import Bulletin
from backend.jobs.codec import discard_pictures, outline_from
from backend.jobs.endings import ending_of
from backend.jobs.keeping import restored
from backend.jobs.ledger import JobLedger
from backend.jobs.line import JobLine
from backend.jobs.live import GenerationResult
from backend.jobs.records import (
    Ending,
    Job,
    KeyTaken,
    LedgerUnavailable,
    Snapshot,
    Terms,
    seconds_waited,
)
from backend.jobs.remote_job import RemoteJob
from backend.jobs.remote_pool import RemotePool
from backend.jobs.rounds import Rounds
from backend.jobs.runner import CANCELED
from backend.storage.base import ImageStore

LOOK_EVERY_S = 1.0
"""For ends that Redis did not tell of."""


class CeleryRunner:
    """Every job is kept whole, and so outlives the process that took it in.

    `wake` is told of each new job, and may fail to tell a worker: these look for themselves.
    `waited` is told how long those had waited, in seconds, that end before a worker has them.
    """

    def __init__(
        self,
        pool: RemotePool,
        admission: Admission,
        ledger: JobLedger,
        line: JobLine,
        store: ImageStore,
        bulletin: Bulletin,
        *,
        wake: Callable[[UUID], None],
        waited: Callable[[float, Correlation], None],
        told_when_ended: Callable[[], None],
        queue_timeout_s: float,
    ) -> None:
        self._pool = pool
        self._admission = admission
        self._ledger = ledger
        self._line = line
        self._store = store
        self._bulletin = bulletin
        self._wake = wake
        self._waited = waited
        self._told_when_ended = told_when_ended
        self._queue_timeout_s = queue_timeout_s
        self._known: WeakValueDictionary[UUID, RemoteJob] = WeakValueDictionary()
        self._taken_in: dict[UUID, RemoteJob] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._rounds = Rounds("jobs", LOOK_EVERY_S, self._look)

    # Life.

    def start(self) -> None:
        self._bulletin.listen(self._heard)
        self._rounds.start()

    def drain(self, grace_s: float) -> None:
        """Take no more; give those waited for here `grace_s` seconds, then call them off."""
        self._closing.set()
        deadline = time.monotonic() + grace_s
        for job in self._awaited():
            if not job.over.wait(max(0.0, deadline - time.monotonic())):
                with suppress(LedgerUnavailable):
                    self._called_off(job.id, self._ledger.ended, ShuttingDown())
        for job in self._open():
            job.over.set()
        self._rounds.close()
        self._bulletin.close()
        self._pool.close()

    # Jobs.

    def accept(
        self,
        request: GenerationRequest,
        *,
        caller: str,
        detached: bool,
        terms: Terms,
        attended: bool = False,
    ) -> RemoteJob:
        """Keep `request` as a job for whichever worker is first; see `Runner.accept`."""
        if self._closing.is_set():
            raise ShuttingDown
        job_id = uuid4()
        with self._admission.admitted(request, caller, job_id) as request:
            self._pool.require(request)
            job = self._job(job_id, request, caller, terms)
            self._add(replace(job, detached=detached), terms)
        live = self._taken_in[job_id] = self.find(job_id)
        live.request, live.created_at = request, job.created_at
        live.patient = detached
        self._wake(job_id)
        return live

    def _job(self, job_id: UUID, request: GenerationRequest, caller: str, terms: Terms) -> Job:
        fresh = terms.fresh or request.seed == RANDOM_SEED
        request = request.with_seed()
        told = terms.correlation
        return new_job(job_id, request, caller, self._store, told, detached=True, fresh=fresh)

    def _add(self, job: Job, terms: Terms) -> None:
        try:
            with self._line.place_for(job.caller, self._pool.places):
                self._ledger.add(job, terms)
        except (LedgerUnavailable, KeyTaken, QueueFull):
            discard_pictures(job.request, self._store)
            raise

    def release_key(self, live: RemoteJob) -> None:
        """Its request is answered with an error, and may be sent again under the same key."""
        self._ledger.release_key(live.id)

    def detach(self, live: RemoteJob) -> None:
        """Nobody waits for it on a connection any more."""
        live.patient = True
        self._ledger.detached(live.id)

    def find(self, job_id: UUID) -> RemoteJob:
        """Whoever asks for a job at a time is given the same."""
        with self._lock:
            job = self._known.get(job_id)
            if job is None:
                job = self._known[job_id] = RemoteJob(
                    job_id, self._snapshot, self._ledger.get, self._restored
                )
            return job

    def awaited(self, caller: str) -> list[RemoteJob]:
        """Those that `caller` waits for on connections to any process, oldest first."""
        return [self._found(job) for job in self._line.awaited(caller)]

    def _found(self, job: Job) -> RemoteJob:
        live = self.find(job.id)
        if job.id not in self._taken_in:
            live.request, live.created_at = outline_from(job.kind, job.request), job.created_at
        live.is_running = job.status == "processing"
        return live

    def cancel(self, live: RemoteJob) -> bool:
        """Call it off, wherever it is; False when it had ended."""
        return self._called_off(live.id, self._ledger.ended, GenerationCanceled(CANCELED))

    def cancel_kept(self, job: Job) -> bool:
        """Call it off; False when it has ended."""
        return self._called_off(job.id, self._ledger.ended, GenerationCanceled(CANCELED))

    # How they fare.

    def _snapshot(self, job_id: UUID, preview: bool) -> Snapshot:
        told = self._bulletin.look(job_id, preview=preview)
        if told is not None:
            return told
        standing = self._line.standing(job_id)
        if standing is None or standing.status == "queued":
            return Snapshot("queued", position=standing.position if standing else None)
        return Snapshot("processing")

    def _restored(self, job: Job) -> GenerationResult:
        return restored(job, self._store)

    def _heard(self, job_id: UUID) -> None:
        self._admission.ended(job_id, refund=False)
        job = self._taken_in.pop(job_id, None) or self._known.get(job_id)
        if job is not None:
            job.over.set()
        self._told_when_ended()

    def _look(self) -> None:
        """Find the ends that were not heard of, and those who have waited too long."""
        for job_id in self._line.over([job.id for job in self._open()]):
            self._heard(job_id)
        too_long = f"No engine was free within {self._queue_timeout_s:g} s."
        late = self._line.waiting_longer(_ids(self._awaited()), self._queue_timeout_s)
        for job_id in late:
            self._called_off(job_id, self._ledger.expired, DeadlineExceeded(too_long))

    def _called_off(
        self, job_id: UUID, end: Callable[[UUID, Ending], bool], cause: GenerationError
    ) -> bool:
        """Its end is kept first; the worker that has it hears of that, or finds it so."""
        job = self._ledger.get(job_id)
        if job is None or not end(job_id, ending_of(cause, None)):
            return False
        if job.owner is None and job.runs == 0:
            self._waited(seconds_waited(job), job.correlation)
        self._admission.ended_unheld(job.id, job.caller, refund=job.runs == 0)
        discard_pictures(job.request, self._store)
        self._bulletin.tell_ended(job_id)
        self._heard(job_id)
        return True

    def _open(self) -> list[RemoteJob]:
        with self._lock:
            return [job for job in self._known.values() if not job.over.is_set()]

    def _awaited(self) -> list[RemoteJob]:
        return [job for job in list(self._taken_in.values()) if not job.patient]


def _ids(jobs: Iterable[RemoteJob]) -> list[UUID]:
    return [job.id for job in jobs]
