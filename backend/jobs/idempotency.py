"""Idempotency keys: a request sent twice is answered with what the first one made.

A key belongs to a job from the very transaction that keeps the job, so that a process which
dies leaves either both or none, and how the job ends decides over the key: one that was
waited for and did not succeed gives it up, for then nothing was made that a retry would make
twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import Engine, Executable, delete, insert, select, update

from backend.jobs.access import Access
from backend.jobs.records import Claim, Ending, Job
from backend.jobs.tables import idempotency_keys as keys
from backend.jobs.tables import jobs

KEY_TTL = timedelta(hours=24)
DONE = 200


class IdempotencyKeyReused(Exception):
    """The key came before, with another request."""


class IdempotencyConflict(Exception):
    """The first request with that key is still at work."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """The job that a key stands for, and the seconds that its first answer took."""

    job: Job
    processing_s: float


def claimed(job: Job, claim: Claim) -> tuple[Executable, ...]:
    """To be executed where `job` is added: the claim's key is its own, unless it is taken."""
    own = (keys.c.caller == job.caller, keys.c.key == claim.key)
    return (
        delete(keys).where(*own, keys.c.created_at <= job.created_at - KEY_TTL),
        insert(keys).values(
            caller=job.caller,
            key=claim.key,
            fingerprint=claim.fingerprint,
            status=claim.status,
            job_id=job.id,
            created_at=job.created_at,
        ),
    )


def given_up(job_id: UUID, ending: Ending) -> tuple[Executable, ...]:
    """To be executed where the job ends so."""
    if ending.status == "succeeded":
        return ()
    return (delete(keys).where(keys.c.job_id == job_id, keys.c.status == DONE),)


def released(job_id: UUID) -> Executable:
    """To be executed when the job's request is answered with an error: it may come again."""
    return delete(keys).where(keys.c.job_id == job_id)


def _took_s(job: Job) -> float:
    """What is known when the process died before it had answered."""
    return (job.ended_at - job.created_at).total_seconds() if job.ended_at else 0.0


class IdempotencyKeys:
    """The keys of the last 24 hours. Every method may raise LedgerUnavailable."""

    def __init__(self, database: Engine) -> None:
        self._access = Access(database)

    def earlier(self, caller: str, claim: Claim) -> Earlier | None:
        """What is to be answered instead; None when the key is new, or free again.

        Raises IdempotencyKeyReused, IdempotencyConflict.
        """
        query = (
            select(jobs, keys.c.fingerprint.label("claimed"), keys.c.processing_s)
            .join(keys, keys.c.job_id == jobs.c.id)
            .where(keys.c.caller == caller, keys.c.key == claim.key)
            .where(keys.c.created_at > datetime.now(UTC) - KEY_TTL)
        )
        rows = self._access.rows(query)
        if not rows:
            return None
        columns = dict(rows[0]._mapping)
        fingerprint, processing_s = columns.pop("claimed"), columns.pop("processing_s")
        job = Job(**columns)
        if fingerprint != claim.fingerprint:
            raise IdempotencyKeyReused("Another request was sent with this Idempotency-Key.")
        if claim.status == DONE and not job.has_ended:
            raise IdempotencyConflict(
                "The first request with this Idempotency-Key is still at work."
            )
        return Earlier(job, _took_s(job) if processing_s is None else processing_s)

    def answered(self, caller: str, key: str, processing_s: float) -> None:
        """The first answer was given after so many seconds."""
        self._access.execute(
            update(keys)
            .where(keys.c.caller == caller, keys.c.key == key)
            .values(processing_s=processing_s)
        )

    def forget_before(self, time: datetime) -> int:
        """Remove the keys that came before `time`; how many there were."""
        return self._access.execute(delete(keys).where(keys.c.created_at < time))
