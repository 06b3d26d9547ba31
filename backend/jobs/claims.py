"""Which worker has which job. PostgreSQL alone: its clock and its row locks decide.

A worker has a job on lease and renews that while it lives, so that the jobs of one that died
are another's soon after. The database is the queue; whoever claims first has the job.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Engine,
    FromClause,
    ScalarSelect,
    Select,
    and_,
    func,
    or_,
    select,
    update,
)

from backend.jobs.access import Access
from backend.jobs.ledger import job_of
from backend.jobs.records import ENDED, UNFINISHED, Job
from backend.jobs.tables import jobs

TRIES = 3
"""Another worker may take the very job we are about to; there may be more behind it."""


class Claims:
    """The jobs of one worker, `owner`. Every method may raise LedgerUnavailable."""

    def __init__(self, database: Engine, owner: UUID, lease_s: float) -> None:
        self._access = Access(database)
        self._owner = owner
        self._lease = timedelta(seconds=lease_s)

    def claim(
        self,
        checkpoints: Collection[str],
        *,
        avoiding: Collection[UUID] = (),
        beyond: int = 0,
    ) -> Job | None:
        """The job whose turn it is of those that no worker has, or None; ours from now on.

        None too unless more than `beyond` jobs wait for a worker.

        Jobs that name a checkpoint other than `checkpoints` are left to others, and so are
        those we are `avoiding`. The caller with the fewest jobs on workers comes first, then
        the oldest job.
        """
        found = (
            _next_job()
            .where(_made_with(checkpoints), jobs.c.id.not_in(avoiding))
            .where(_unclaimed() > beyond)
            .scalar_subquery()
        )
        statement = (
            update(jobs)
            .where(jobs.c.id == found)
            .values(owner=self._owner, lease_until=func.now() + self._lease)
            .returning(*jobs.c)
        )
        for _ in range(TRIES):
            rows = self._access.changed(statement)
            if rows:
                return job_of(rows[0])
        return None

    def renew(self) -> set[UUID]:
        """Keep what we have; which jobs those are. What is missing has ended or is another's."""
        rows = self._access.changed(
            update(jobs)
            .where(jobs.c.owner == self._owner, jobs.c.status.in_(UNFINISHED))
            .values(lease_until=func.now() + self._lease)
            .returning(jobs.c.id)
        )
        return {row.id for row in rows}

    def release(self, job_id: UUID) -> bool:
        """Let any worker have it; False when it has ended or is another's already."""
        return bool(
            self._access.execute(
                update(jobs)
                .where(jobs.c.id == job_id, jobs.c.owner == self._owner)
                .where(jobs.c.status.not_in(ENDED))
                .values(owner=None, lease_until=None)
            )
        )


def _next_job() -> Select[tuple[UUID]]:
    held = (
        select(jobs.c.caller, func.count().label("count"))
        .where(jobs.c.status.in_(UNFINISHED), jobs.c.lease_until >= func.now())
        .group_by(jobs.c.caller)
        .subquery()
    )
    return (
        select(jobs.c.id)
        .outerjoin(held, held.c.caller == jobs.c.caller)
        .where(jobs.c.status.in_(UNFINISHED), _unowned())
        .order_by(func.coalesce(held.c.count, 0), jobs.c.created_at, jobs.c.id)
        .limit(1)
        .with_for_update(of=jobs, skip_locked=True)
    )


def _unclaimed() -> ScalarSelect[int]:
    waiting = jobs.alias("waiting")
    return (
        select(func.count())
        .select_from(waiting)
        .where(waiting.c.status.in_(UNFINISHED), _unowned(waiting))
        .scalar_subquery()
    )


def _unowned(jobs: FromClause = jobs) -> ColumnElement[bool]:
    never = and_(jobs.c.owner.is_(None), jobs.c.lease_until.is_(None))
    return or_(never, jobs.c.lease_until < func.now())


def _made_with(checkpoints: Collection[str]) -> ColumnElement[bool]:
    asked = jobs.c.request["checkpoint"].as_string()
    return or_(asked.is_(None), asked.in_(checkpoints))
