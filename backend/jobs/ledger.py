"""The jobs in the database. Each change is one conditional statement, so that none is undone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, Executable, Row, and_, delete, insert, or_, select, union, update

from backend.jobs.access import Access
from backend.jobs.codec import picture_ids
from backend.jobs.deliveries import due, jobs_with_pending, promised, withdrawn
from backend.jobs.idempotency import claimed, given_up, released
from backend.jobs.records import ENDED, NO_TERMS, UNFINISHED, Ending, Job, Status, Terms
from backend.jobs.slate import Slate
from backend.jobs.tables import idempotency_keys, images, jobs
from backend.jobs.webhook_body import webhook_body

Cursor = tuple[datetime, UUID]
"""Where a page begins: after the job made then, with that id."""

WAITING: frozenset[Status] = frozenset({"queued"})


class JobLedger:
    """Keeps jobs. Every method may raise LedgerUnavailable.

    What is only noted is on the slate, and written before anything is read.
    """

    def __init__(self, database: Engine, base_url: str = "") -> None:
        self._access = Access(database)
        self._base_url = base_url
        self._slate = Slate(self._write)

    def start(self) -> None:
        """Write what is noted from time to time."""
        self._slate.start()

    def close(self) -> None:
        """Write what is noted; what the database does not take is lost."""
        self._slate.close()

    def note(self, job: Job) -> None:
        """Keep a new job that need not outlive this process, a moment later."""
        self._slate.note(job)

    def add(self, job: Job, terms: Terms = NO_TERMS) -> None:
        """Keep a new job, with its claim to a key and the webhook it is to send.

        Raises KeyTaken, keeping nothing.
        """
        with_it = claimed(job, terms.claim) if terms.claim else ()
        if terms.webhook_url:
            with_it = (*with_it, promised(job.id, terms.webhook_url))
        self._access.execute(insert(jobs).values(_row(job)), *with_it)

    def refused(self, job_id: UUID, ending: Ending) -> bool:
        """A job that was not accepted is over, and nobody is told but who asked."""
        return self._end(job_id, ending, withdrawn(job_id))

    def started(self, job_id: UUID) -> bool:
        """A queued job is at work now; False when it no longer was queued."""
        noted = self._slate.started(job_id)
        if noted is not None:
            return noted
        return self._changed(
            update(jobs)
            .where(jobs.c.id == job_id, jobs.c.status == "queued")
            .values(status="processing", started_at=_now(), runs=jobs.c.runs + 1)
        )

    def ended(self, job_id: UUID, ending: Ending) -> bool:
        """The job is over, and its webhook is due; False when it already was."""
        return self._end(job_id, ending)

    def expired(self, job_id: UUID, ending: Ending) -> bool:
        """A job that waited too long is over; False when it no longer waits."""
        return self._end(job_id, ending, open_to=WAITING)

    def _end(
        self,
        job_id: UUID,
        ending: Ending,
        *then: Executable,
        open_to: Collection[Status] = UNFINISHED,
    ) -> bool:
        noted = self._slate.ended(job_id, ending)
        if noted is not None:
            return noted
        at = _now()
        body = webhook_body(job_id, ending, at, self._base_url)
        made = _images_made(job_id, ending.result)
        return self._changed(
            update(jobs)
            .where(jobs.c.id == job_id, jobs.c.status.in_(open_to))
            .values(ended_at=at, **_added_up(ending)),
            *((insert(images).values(made),) if made else ()),
            *given_up(job_id, ending),
            *(then or (due(job_id, body),)),
        )

    def release_key(self, job_id: UUID) -> None:
        """The key that the job claimed, if any, is free again."""
        self._access.execute(released(job_id))

    def detached(self, job_id: UUID, request: dict[str, Any] | None = None) -> None:
        """Nobody waits on a connection for it any more.

        `request`, if it was not kept before, now outlives the process.
        """
        self._slate.settle()
        kept = {} if request is None else {"request": request}
        self._access.execute(update(jobs).where(jobs.c.id == job_id).values(detached=True, **kept))

    def put_back(self, job_id: UUID, *, blameless: bool = False) -> bool:
        """A job whose work was cut short waits again; a `blameless` one as if never started.

        Otherwise the engine that was at work on it counts as an attempt.
        """
        self._slate.settle()
        return self._changed(
            update(jobs)
            .where(jobs.c.id == job_id, jobs.c.status == "processing")
            .values(
                status="queued",
                started_at=None,
                runs=jobs.c.runs - int(blameless),
                attempts=jobs.c.attempts + int(not blameless),
            )
        )

    def get(self, job_id: UUID) -> Job | None:
        rows = self._rows(select(jobs).where(jobs.c.id == job_id))
        return job_of(rows[0]) if rows else None

    def latest_made(self, caller: str, fingerprint: str) -> Job | None:
        """The caller's latest job with a result of that fingerprint."""
        query = select(jobs).where(jobs.c.caller == caller, jobs.c.fingerprint == fingerprint)
        rows = self._rows(query.order_by(jobs.c.ended_at.desc()).limit(1))
        return job_of(rows[0]) if rows else None

    def page(
        self, caller: str, *, limit: int, after: Cursor | None = None, status: Status | None = None
    ) -> list[Job]:
        """A caller's jobs, newest first, `limit` of them at most."""
        query = select(jobs).where(jobs.c.caller == caller)
        if status is not None:
            query = query.where(jobs.c.status == status)
        if after is not None:
            made, job_id = after
            older = and_(jobs.c.created_at == made, jobs.c.id < job_id)
            query = query.where(or_(jobs.c.created_at < made, older))
        ordered = query.order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(limit)
        return [job_of(row) for row in self._rows(ordered)]

    def unfinished(self) -> list[Job]:
        """Every job that has not ended, oldest first."""
        query = (
            select(jobs).where(jobs.c.status.not_in(ENDED)).order_by(jobs.c.created_at, jobs.c.id)
        )
        return [job_of(row) for row in self._rows(query)]

    def pictures_in_use(self) -> set[UUID]:
        """The stored pictures that jobs still need to be made from."""
        return {picture for job in self.unfinished() for picture in picture_ids(job.request)}

    def makers_of(self, image_id: UUID) -> set[str]:
        """The callers whose jobs, as far as kept, have made that image, though it be gone."""
        query = select(jobs.c.caller).join(images, images.c.job_id == jobs.c.id)
        return {row.caller for row in self._rows(query.where(images.c.id == image_id))}

    def forget_ended_before(self, time: datetime) -> int:
        """Remove the jobs that ended before `time`; how many there were.

        Those that an idempotency key or an undelivered webhook stands for stay as long as it.
        """
        still_asked_for = union(select(idempotency_keys.c.job_id), jobs_with_pending())
        return self._access.execute(
            delete(jobs).where(jobs.c.ended_at < time, jobs.c.id.not_in(still_asked_for))
        )

    def ping(self) -> None:
        """Raise LedgerUnavailable unless the database answers."""
        self._access.rows(select(jobs.c.id).limit(1))

    def _rows(self, query: Executable) -> Sequence[Row[Any]]:
        self._slate.settle()
        return self._access.rows(query)

    def _write(self, noted: Sequence[Job]) -> None:
        made = [row for job in noted for row in _images_made(job.id, job.result)]
        self._access.insert((jobs, [_row(job) for job in noted]), (images, made))

    def _changed(self, statement: Executable, *then: Executable) -> bool:
        return self._access.execute(statement, *then) == 1


def _added_up(ending: Ending) -> dict[str, Any]:
    """The columns of `ending`, its attempts beside those of earlier runs."""
    return asdict(ending) | {"attempts": jobs.c.attempts + ending.attempts}


def _images_made(job_id: UUID, result: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """What lets an image be known as one that was, when it is there no more."""
    listed = result["images"] if result else ()
    return [{"id": UUID(image["id"]), "job_id": job_id} for image in listed if image["id"]]


def _row(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in Job.__slots__}


def job_of(row: Row[Any]) -> Job:
    """The job in a row of all its columns."""
    return Job(**row._mapping)


def _now() -> datetime:
    return datetime.now(UTC)
