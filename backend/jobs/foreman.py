"""A worker's jobs: claims them as it has room, sees each through, tells how they fare."""

from __future__ import annotations

import logging
import threading
import time
from uuid import UUID

from ai.generation import Txt2Img
from ai.pool import EnginePool
from backend.jobs.bulletin import Bulletin
from backend.jobs.claims import Claims
from backend.jobs.lists import LISTS_KEPT_S, OwnLists, ToldLists
from backend.jobs.live import LiveJob
from backend.jobs.records import Job, LedgerUnavailable
from backend.jobs.remote_pool import (
    REPORT_EVERY_S,
    REPORT_KEPT_S,
    parsed,
    places_of,
    report_of,
)
from backend.jobs.rounds import Rounds
from backend.jobs.worker_runner import WorkerRunner

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""For jobs that no message told of: their worker died, or could not make them."""
SHOW_EVERY_S = 0.5
LISTS_EVERY_S = 30.0
"""Files are put into a WebUI's folders now and then; one that comes up is asked at once."""
AVOID_S = 5.0
"""What we gave back is for others to take first."""


class Foreman:
    """Has at most `ahead` jobs more than its engines can work on at once.

    It takes those only while there are enough for the idle engines of all other workers.

    `lease_s` is how long a job stays ours when we are not heard of any more.
    """

    def __init__(
        self,
        worker: UUID,
        pool: EnginePool,
        runner: WorkerRunner,
        claims: Claims,
        bulletin: Bulletin,
        *,
        ahead: int,
        lease_s: float,
    ) -> None:
        self._worker = worker
        self._pool = pool
        self._runner = runner
        self._claims = claims
        self._bulletin = bulletin
        self._ahead = ahead
        self._held = 0
        self._places_elsewhere = 0
        self._given_back: dict[UUID, float] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._lists, self._told = OwnLists(pool), ToldLists()
        self._listed: frozenset[str] = frozenset()
        self._looks = Rounds("look", LOOK_EVERY_S, self._look)
        self._listing = Rounds("lists", LISTS_EVERY_S, self._look_at_lists)
        self._rounds = (
            self._looks,
            Rounds("lease", lease_s / 3, self._renew),
            Rounds("show", SHOW_EVERY_S, self._show),
            Rounds("report", REPORT_EVERY_S, self._report),
            self._listing,
        )

    # Life.

    def start(self) -> None:
        self._pool.start()
        self._bulletin.listen(self._heard, self._looks.soon)
        for rounds in self._rounds:
            rounds.start()

    def drain(self, grace_s: float) -> None:
        """Take no more; let what runs end within `grace_s` seconds, leave the rest to others."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._bulletin.sign_out(self._worker)
        self._runner.drain(grace_s)
        with self._changed:
            self._changed.wait_for(lambda: not self._held, grace_s)
        for rounds in self._rounds:
            rounds.close()
        self._bulletin.sign_out(self._worker)
        self._bulletin.close()

    # Jobs.

    def make_next(self) -> None:
        """See the job whose turn it is through, if an engine is idle; else call the others."""
        if self._took_place(0):
            self._make_one(self._claimed())
        else:
            self._bulletin.call_workers()

    def _took_place(self, ahead: int) -> bool:
        """One for a job, of those there are and `ahead` more."""
        with self._changed:
            places = places_of(self._pool.status())
            if self._closing or not places or self._held >= places + ahead:
                return False
            self._held += 1
            return True

    def _make_one(self, job: Job | None) -> None:
        """See it through, and give its place back."""
        try:
            if job is not None:
                self._see_through(job)
        finally:
            with self._changed:
                self._held -= 1
                self._changed.notify_all()
            if job is not None:
                self._looks.soon()

    def _claimed(self, *, beyond: int = 0) -> Job | None:
        checkpoints = self._servable()
        if checkpoints is None:
            return None
        try:
            return self._claims.claim(checkpoints, avoiding=self._avoided(), beyond=beyond)
        except LedgerUnavailable:
            return None

    def _servable(self) -> set[str] | None:
        """All names of the checkpoints that could be used now; None when nothing can serve."""
        if not self._pool.can_serve():
            return None
        known = (c for facts in self._pool.facts().values() for c in facts.checkpoints)
        return {
            spelling
            for name, spellings in {c.name: c.spellings for c in known}.items()
            if self._pool.serves(Txt2Img(prompt="any", checkpoint=name))
            for spelling in spellings
        }

    def _see_through(self, job: Job) -> None:
        try:
            live = self._runner.take_up(job)
            if live is not None:
                live.over.wait()
            if live is None or live.has_ended or not self._claims.release(job.id):
                self._bulletin.tell_ended(job.id)
            else:
                self._given_back[job.id] = time.monotonic()
                self._bulletin.call_workers()
        except LedgerUnavailable:
            log.warning("job left to its lease", extra={"job_id": str(job.id)})

    def _avoided(self) -> list[UUID]:
        now = time.monotonic()
        for job_id, given_at in list(self._given_back.items()):
            if now - given_at > AVOID_S:
                self._given_back.pop(job_id, None)
        return list(self._given_back)

    # Rounds.

    def _look(self) -> None:
        """Claim, as far as there is room, what no message told of; give back what is stuck."""
        if not self._pool.can_serve():
            for live in self._runner.all():
                if live.ticket is None or live.ticket.state == "queued":
                    self._drop(live)
        while self._took_one():
            pass
        while self._took_one(ahead=self._ahead, beyond=self._places_elsewhere):
            pass

    def _took_one(self, *, ahead: int = 0, beyond: int = 0) -> bool:
        if not self._took_place(ahead):
            return False
        job = self._claimed(beyond=beyond)
        if job is None:
            self._make_one(None)
            return False
        threading.Thread(target=self._make_one, args=(job,), name="job", daemon=True).start()
        return True

    def _renew(self) -> None:
        mine = self._runner.all()
        if not mine:
            return
        kept = self._claims.renew()
        for live in mine:
            if live.id not in kept:
                self._drop(live)

    def _heard(self, job_id: UUID) -> None:
        live = self._runner.find(job_id)
        if live is not None:
            self._drop(live)

    def _drop(self, live: LiveJob) -> None:
        log.info("job given up", extra={"job_id": str(live.id)})
        self._runner.give_up(live)

    def _show(self) -> None:
        jobs = {live.id: live for live in self._runner.all()}
        for job_id, preview in self._bulletin.watched(jobs).items():
            snapshot = jobs[job_id].snapshot(preview=preview)
            if snapshot.status == "processing":
                self._bulletin.show(job_id, snapshot)

    def _look_at_lists(self) -> None:
        self._listed = self._up()
        self._told = self._lists.look()

    def _up(self) -> frozenset[str]:
        return frozenset(each.name for each in self._pool.status() if each.state == "up")

    def _report(self) -> None:
        if self._up() - self._listed:
            self._listing.soon()
        if not self._closing:
            self._sign_in()
        told = self._bulletin.workers()
        if told is not None:
            others = [text for name, text in told.items() if name != str(self._worker)]
            reports = (parsed(text) for text in others)
            self._places_elsewhere = sum(report.places for report in reports if report)

    def _sign_in(self) -> None:
        told = self._told
        if told.digest:
            self._bulletin.tell_lists(told.digest, told.packed, LISTS_KEPT_S)
        self._bulletin.sign_in(self._worker, report_of(self._pool, told), REPORT_KEPT_S)
