"""The jobs that wait for workers, as those who take jobs in see them. PostgreSQL alone."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Engine, and_, func, or_, select

from ai.errors import QueueFull
from backend.jobs.access import Access
from backend.jobs.ledger import job_of
from backend.jobs.records import ENDED, UNFINISHED, Job, Status
from backend.jobs.tables import jobs

ADMISSION = 0x51_1CE
"""The advisory lock that whoever adds to the line holds, whatever process it is."""
RETRY_AFTER_S = 5.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many jobs may wait: in all, and of one caller."""

    in_all: int
    per_caller: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How a job stands in the database; `position` while it is queued, 1 for the oldest."""

    status: Status
    position: int | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many jobs wait, and for how long the oldest has."""

    count: int = 0
    oldest_s: float = 0.0


class JobLine:
    """Every method may raise LedgerUnavailable."""

    def __init__(self, database: Engine, bounds: Bounds) -> None:
        self._access = Access(database)
        self._bounds = bounds
        self._admitting = threading.Lock()

    @contextmanager
    def place_for(self, caller: str, places: int) -> Iterator[None]:
        """Within it a job of `caller` is to be added, alone among all processes.

        `places` is how many jobs engines can work on at once: those of them that are free
        wait no time, and so do not count. Raises QueueFull.
        """
        waiting = func.count().filter(jobs.c.status == "queued")
        mine = func.count().filter(jobs.c.status == "queued", jobs.c.caller == caller)
        query = select(func.count(), waiting, mine).where(jobs.c.status.in_(UNFINISHED))
        # One thread of a process at a time: the others would each hold a connection to wait.
        with self._admitting, self._access.transaction() as connection:
            connection.execute(select(func.pg_advisory_xact_lock(ADMISSION)))
            unfinished, queued, own = connection.execute(query).one()
            free = max(0, places - (unfinished - queued))
            if queued >= self._bounds.in_all + free:
                raise QueueFull(f"{self._bounds.in_all} requests wait already.", RETRY_AFTER_S)
            if own >= self._bounds.per_caller + free:
                message = f"{self._bounds.per_caller} requests of yours wait already."
                raise QueueFull(message, RETRY_AFTER_S)
            yield

    def waiting(self) -> Waiting:
        """What is queued."""
        age = func.extract("epoch", func.now() - func.min(jobs.c.created_at))
        query = select(func.count().label("waiting"), func.coalesce(age, 0).label("oldest_s"))
        row = self._access.rows(query.where(jobs.c.status == "queued"))[0]
        return Waiting(row.waiting, max(0.0, float(row.oldest_s)))

    def standing(self, job_id: UUID) -> Standing | None:
        rows = self._access.rows(
            select(jobs.c.status, jobs.c.created_at).where(jobs.c.id == job_id)
        )
        if not rows:
            return None
        status, created_at = rows[0].status, rows[0].created_at
        if status != "queued":
            return Standing(status, None)
        earlier = or_(
            jobs.c.created_at < created_at,
            and_(jobs.c.created_at == created_at, jobs.c.id <= job_id),
        )
        before = select(func.count()).where(jobs.c.status == "queued", earlier)
        return Standing(status, max(1, int(self._access.rows(before)[0][0])))

    def awaited(self, caller: str) -> list[Job]:
        """The jobs that `caller` waits for on a connection to any process, oldest first."""
        own = select(jobs).where(jobs.c.status.in_(UNFINISHED), jobs.c.caller == caller)
        waited_for = own.where(jobs.c.detached.is_(False))
        rows = self._access.rows(waited_for.order_by(jobs.c.created_at, jobs.c.id))
        return [job_of(row) for row in rows]

    def over(self, job_ids: Collection[UUID]) -> set[UUID]:
        """Those of `job_ids` that have ended, or are forgotten."""
        if not job_ids:
            return set()
        open_jobs = select(jobs.c.id).where(jobs.c.id.in_(job_ids), jobs.c.status.not_in(ENDED))
        return set(job_ids) - {row.id for row in self._access.rows(open_jobs)}

    def waiting_longer(self, job_ids: Collection[UUID], seconds: float) -> set[UUID]:
        """Those of `job_ids` that were queued for more than `seconds`, and still are."""
        if not job_ids:
            return set()
        late = select(jobs.c.id).where(
            jobs.c.id.in_(job_ids),
            jobs.c.status == "queued",
            jobs.c.created_at < func.now() - timedelta(seconds=seconds),
        )
        return {row.id for row in self._access.rows(late)}
