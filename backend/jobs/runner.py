"""Runs jobs in this process: takes them in, has the pool make them, keeps how they end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar
from uuid import UUID, uuid4

from ai.errors import GenerationCanceled, GenerationError, NoEngine, ShuttingDown
from ai.generation import GenerationRequest
from ai.pool import EnginePool, Ticket
from ai.tickets import TicketState
from backend.accounts.admission import Admission
from backend.jobs.access import insisted
from backend.jobs.beginnings import new_job
from backend.jobs.clerks import Clerks
from backend.jobs.codec import discard_pictures, with_pictures
from backend.jobs.endings import ending_of, is_refunded, tell_ending
from backend.jobs.keeping import as_cached, end_of, fetchable
from backend.jobs.ledger import JobLedger
from backend.jobs.leftovers import Leftovers
from backend.jobs.live import GenerationResult, LiveJob
from backend.jobs.records import Job, KeyTaken, LedgerUnavailable, Terms
from backend.jobs.repeats import Repeats
from backend.storage.base import ImageStore
from backend.tracing import UNTRACED, Tracing

Answer = TypeVar("Answer")
CANCELED = "The job was canceled."
ATTENDED_END_S = 5.0
RESUME_PAUSE_S = 1.0


class JobRunner:
    """Every job of this process, live. The ledger is asked for all others."""

    def __init__(
        self,
        pool: EnginePool,
        ledger: JobLedger,
        store: ImageStore,
        repeats: Repeats,
        admission: Admission,
        told_when_ended: Callable[[], None] = lambda: None,
        tracing: Tracing = UNTRACED,
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._store = store
        self._repeats = repeats
        self._admission = admission
        self._leftovers = Leftovers(ledger, store, repeats, admission)
        self._told_when_ended = told_when_ended
        self._tracing = tracing
        self._live: dict[UUID, LiveJob] = {}
        self._lock = threading.Lock()
        self._clerks = Clerks()
        self._closing = threading.Event()
        self._stopping = threading.Lock()
        self._resuming: threading.Thread | None = None

    # Life.

    def start(self) -> None:
        """Take up what an earlier process left: queued again, or failed where that is due."""
        left = self._leftovers.all_taken_up()
        self._live |= {live.job.id: live for live in left}
        self._resuming = threading.Thread(
            target=self._resume, args=(left,), name="resume", daemon=True
        )
        self._resuming.start()

    def drain(self, grace_s: float) -> None:
        """Take no more; let what runs end within `grace_s` seconds, put the rest back.

        Then the pool is closed, and nobody waits for a job of this process any more.
        """
        with self._lock:
            self._closing.set()
        self._pool.dismiss_waiting()
        self._pool.drain(grace_s)
        with self._stopping:
            self._pool.close()
            if self._resuming:
                self._resuming.join()
            for live in self.all():
                if live.attendance.is_open:
                    live.over.wait(ATTENDED_END_S)
            self._clerks.close()
            for live in self.all():
                self._let_go(live)

    # Jobs.

    def accept(
        self,
        request: GenerationRequest,
        *,
        caller: str,
        detached: bool,
        terms: Terms,
        attended: bool = False,
    ) -> LiveJob:
        """Queue `request` as a job, kept before any work is done on it.

        A `detached` one outlives this process. One that is neither that nor has a key or a
        webhook is noted, and kept a moment later. `attended` says that this thread goes on to
        serve its `attendance`. Raises what the pool refuses with, StorageError when its pictures,
        and LedgerUnavailable when the job itself cannot be kept; KeyTaken when another job has
        the key that `terms` claims; and what `Admission.admitted` raises.
        """
        if self._closing.is_set():
            raise ShuttingDown
        job_id = uuid4()
        with self._admission.admitted(request, caller, job_id) as request:
            sharing_key = None if terms.fresh else self._repeats.key_of(request, caller)
            request = request.with_seed()
            fresh = sharing_key is None
            told = terms.correlation
            job = new_job(
                job_id, request, caller, self._store, told, detached=detached, fresh=fresh
            )
            noted = not (detached or terms.claim or terms.webhook_url)
            live = LiveJob(job, request, sharing_key, noted=noted)
            if attended:
                live.attendance.open()
            self._take_in(live, terms)
        return live

    def _take_in(self, live: LiveJob, terms: Terms) -> None:
        """Keep it, then have it made. Raises what `accept` does, the job being over then."""
        job = live.job
        with self._lock:
            self._live[job.id] = live
        try:
            self._ledger.note(job) if live.noted else self._ledger.add(job, terms)
        except (LedgerUnavailable, KeyTaken):
            self._let_go(live)
            discard_pictures(job.request, self._store)
            raise
        try:
            self._begin(live)
        except GenerationError as error:
            self.release_key(live)
            self._clerks.ask(job.id, partial(self._refuse, live, error))
            raise

    def release_key(self, live: LiveJob) -> None:
        """Its request is answered with an error, and may be sent again under the same key."""
        if live.noted:
            return
        with suppress(LedgerUnavailable):
            self._ledger.release_key(live.job.id)

    def detach(self, live: LiveJob) -> None:
        """Nobody waits for it on a connection any more: keep all it needs to be run again.

        Raises StorageError and LedgerUnavailable; then it goes on, but would not be run again.
        """
        if live.ticket is not None:
            live.ticket.be_patient()
        kept = with_pictures(live.request, self._store)
        live.job = replace(live.job, detached=True, request=kept)
        self._ledger.detached(live.job.id, kept)
        if live.over.is_set():
            discard_pictures(kept, self._store)

    def find(self, job_id: UUID) -> LiveJob | None:
        """The job, while this process works on it."""
        return self._live.get(job_id)

    def awaited(self, caller: str) -> list[LiveJob]:
        """Those that `caller` waits for on a connection, oldest first."""
        own = [x for x in self.all() if x.job.caller == caller and not x.job.detached]
        return sorted(own, key=lambda live: live.created_at)

    def all(self) -> list[LiveJob]:
        with self._lock:
            return list(self._live.values())

    def cancel(self, live: LiveJob) -> bool:
        """Drop it from the queue or interrupt it; False when it had ended."""
        with live.submitting:
            live.canceled = True
            ticket = live.ticket
        if ticket is not None and not self._repeats.leave(live):
            return ticket.cancel()
        return self._finish(live, GenerationCanceled(CANCELED))

    def cancel_kept(self, job: Job) -> bool:
        """Call off a job that no process works on; False when it has ended."""
        if not self._ledger.ended(job.id, ending_of(GenerationCanceled(CANCELED), None)):
            return False
        self._admission.ended_unheld(job.id, job.caller, refund=job.runs == 0)
        discard_pictures(job.request, self._store)
        return True

    # The pool's side.

    def _begin(self, live: LiveJob, *, again: bool = False) -> None:
        """Have it made, unless the same was made before or is being made."""
        found = self._repeats.begin(live, partial(self._submit, live, again=again))
        if found is not None:
            self._do(live, partial(self._finish, live, found))
        elif live.ticket is not None and live.ticket.state == "processing" and not live.begun:
            self._clerks.ask(live.job.id, partial(self._began, live, live.ticket))

    def _submit(self, live: LiveJob, *, again: bool = False) -> None:
        with live.submitting:
            if live.canceled:
                return
            live.ticket = self._pool.submit(
                live.request,
                caller=live.job.caller,
                patient=live.job.detached,
                again=again,
                waited_s=live.waited_s,
                correlation=live.job.correlation,
                follow=partial(self._moved, live),
            )

    def _moved(self, live: LiveJob, ticket: Ticket, state: TicketState) -> None:
        """The pool has begun with it, or is done with it. Called where the pool must not wait."""
        act = partial(self._ended if state == "ended" else self._began, live, ticket)
        if live.sharing_key is not None or not live.noted:
            self._clerks.ask(live.job.id, act)
        elif state == "ended":
            self._do(live, act)
        else:
            act()

    def _began(self, live: LiveJob, _ticket: Ticket) -> None:
        for each in self._repeats.group_of(live):
            if not each.begun:
                self._kept(partial(self._ledger.started, each.job.id))
                each.begun = True

    def _do(self, live: LiveJob, task: Callable[[], object]) -> None:
        """Have it done by him who waits for `live`, or by its clerk, who knows what came before."""
        if not (live.noted and live.attendance.offer(task)):
            self._clerks.ask(live.job.id, task)

    def _ended(self, live: LiveJob, ticket: Ticket) -> None:
        """One ends first, so that others find its result, or join, as long as there is time."""
        first = self._repeats.group_of(live)[0]
        with self._tracing.span("store", live.job.correlation):
            end = end_of(ticket, self._store)
        self._conclude(first, end)
        for other in self._repeats.close(live):
            if other is not first:
                self._do(other, partial(self._share, other, end))

    def _conclude(self, live: LiveJob, end: GenerationResult | Exception) -> None:
        if isinstance(end, ShuttingDown) and live.job.detached and not live.canceled:
            self._leave(live)
        else:
            self._finish(live, end)

    def _share(self, live: LiveJob, end: GenerationResult | Exception) -> None:
        """What was made for another is its result too; what failed there it tries for itself."""
        if isinstance(end, GenerationResult):
            self._finish(live, as_cached(end))
        elif isinstance(end, ShuttingDown):
            self._conclude(live, end)
        else:
            self._begin_again(live)

    def _begin_again(self, live: LiveJob) -> None:
        with live.submitting:
            live.ticket, live.begun = None, False
            called_off = live.canceled
        self._kept(lambda: self._ledger.put_back(live.job.id, blameless=True))
        try:
            if called_off:
                raise GenerationCanceled(CANCELED)
            self._begin(live, again=True)
        except GenerationError as error:
            self._conclude(live, error)

    def _leave(self, live: LiveJob) -> None:
        """This process is going: the next one is to run it."""
        self._kept(lambda: self._ledger.put_back(live.job.id, blameless=True))
        self._let_go(live)

    def _let_go(self, live: LiveJob) -> bool:
        """It is no longer this process's, and whoever waits for it is told; False if it was not."""
        with self._lock:
            was_live = self._live.pop(live.job.id, None) is not None
        live.over.set()
        live.attendance.offer(_look)
        return was_live

    def _refuse(self, live: LiveJob, error: GenerationError) -> None:
        self._kept(lambda: self._ledger.refused(live.job.id, ending_of(error, None)))
        self._let_go(live)
        discard_pictures(live.job.request, self._store)

    def _finish(self, live: LiveJob, end: GenerationResult | Exception) -> bool:
        """Keep how it ended, then tell those who wait; False when it had ended already."""
        if isinstance(end, GenerationResult) and live.job.detached:
            end = fetchable(end)
        ending = ending_of(end, live.ticket)
        self._admission.ended(live.job.id, refund=is_refunded(end, live.ticket))
        if isinstance(end, GenerationResult):
            ending = replace(ending, fingerprint=self._repeats.fingerprint_of(live, end))
        if self._kept(lambda: self._ledger.ended(live.job.id, ending)) is False:
            return False
        tell_ending(live.job, ending)
        if not live.noted:  # a webhook may be due
            self._told_when_ended()
        if isinstance(end, GenerationResult):
            live.result = end
        else:
            live.error = end
        was_live = self._let_go(live)
        discard_pictures(live.job.request, self._store)
        return was_live

    def _kept(self, change: Callable[[], Answer]) -> Answer | None:
        return insisted(change, self._closing)

    # After a restart.

    def _resume(self, left: list[LiveJob]) -> None:
        """Queue what was left, oldest first, waiting while no engine can be reached."""
        while left := [live for live in left if not self._resumed(live)]:
            if self._closing.wait(RESUME_PAUSE_S):
                return

    def _resumed(self, live: LiveJob) -> bool:
        try:
            self._begin(live, again=True)
        except NoEngine:
            return False
        except GenerationError as error:
            self._finish(live, error)
        return True


def _look() -> None:
    """Nothing but to see that it is over."""
