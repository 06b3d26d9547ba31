"""The webhook deliveries in the database.

A delivery is promised when its job is accepted and due when its job ends; each of the two is
a statement for the transaction that does that to the job, so that neither is without the other.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

from sqlalchemy import (
    ColumnElement,
    Delete,
    Engine,
    Insert,
    Row,
    Select,
    Update,
    delete,
    insert,
    select,
    update,
)
from urllib3.util import parse_url

from backend.jobs.access import Access
from backend.jobs.tables import webhook_deliveries as deliveries

State = Literal["pending", "delivered", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event for one receiver. `id` is its webhook-id, the same at every try.

    `tries` counts those begun. `body` is None until the job has ended; `next_try_at` too, and
    again once there is none. Times are UTC.
    """

    id: UUID
    job_id: UUID
    url: str = field(repr=False)
    host: str = field(repr=False)
    body: str | None = field(repr=False)
    created_at: datetime
    state: State
    tries: int
    next_try_at: datetime | None
    last_status: int | None
    last_error: str | None
    delivered_at: datetime | None


def promised(job_id: UUID, url: str) -> Insert:
    """To be executed where the job is added: `url` is told when it ends."""
    return insert(deliveries).values(
        id=uuid4(),
        job_id=job_id,
        url=url,
        host=parse_url(url).host or "",
        created_at=datetime.now(UTC),
        state="pending",
        tries=0,
    )


def due(job_id: UUID, body: bytes) -> Update:
    """To be executed where the job ends: what was promised is sent from now on, if anything."""
    return (
        update(deliveries)
        .where(deliveries.c.job_id == job_id, deliveries.c.body.is_(None))
        .values(body=body.decode(), next_try_at=datetime.now(UTC))
    )


def withdrawn(job_id: UUID) -> Delete:
    """To be executed where a job is refused after all: nobody is told of it."""
    return delete(deliveries).where(deliveries.c.job_id == job_id)


def jobs_with_pending() -> Select[tuple[UUID]]:
    """A subquery: jobs not to be forgotten yet, for their receivers would ask for them."""
    return select(deliveries.c.job_id).where(deliveries.c.state == "pending")


class Deliveries:
    """Every method may raise LedgerUnavailable."""

    def __init__(self, database: Engine) -> None:
        self._access = Access(database)

    def of_jobs(self, job_ids: Collection[UUID]) -> dict[UUID, Delivery]:
        """Those of these jobs that have one, by job."""
        rows = self._access.rows(select(deliveries).where(deliveries.c.job_id.in_(job_ids)))
        return {row.job_id: _delivery(row) for row in rows}

    def claim(self, now: datetime, lease: timedelta, busy: Collection[str]) -> Delivery | None:
        """The one due longest, of no `busy` host, with its try begun; None when none is due.

        For the time of `lease` nobody else is given it. If no result of the try is kept by
        then, for we died over it, it is due again.
        """
        query = self._waiting(busy).where(deliveries.c.next_try_at <= now).limit(1)
        while rows := self._access.rows(query):
            seen = _delivery(rows[0])
            claim = update(deliveries).where(*_is_at_try(seen.id, seen.tries))
            if self._access.execute(claim.values(tries=seen.tries + 1, next_try_at=now + lease)):
                return _delivery(self._access.rows(_by_id(seen.id))[0])
        return None

    def next_due(self, busy: Collection[str]) -> datetime | None:
        """When the next one of no `busy` host is due."""
        rows = self._access.rows(self._waiting(busy).limit(1))
        return _delivery(rows[0]).next_try_at if rows else None

    def delivered(self, delivery: Delivery, status: int) -> None:
        """The receiver took it."""
        self._access.execute(
            update(deliveries)
            .where(deliveries.c.id == delivery.id)
            .values(
                state="delivered",
                next_try_at=None,
                last_status=status,
                last_error=None,
                delivered_at=datetime.now(UTC),
            )
        )

    def missed(
        self, delivery: Delivery, status: int | None, error: str, next_try_at: datetime | None
    ) -> None:
        """The try failed, and was the last when there is no `next_try_at`.

        Nothing changes when another try has been begun since.
        """
        self._access.execute(
            update(deliveries)
            .where(*_is_at_try(delivery.id, delivery.tries))
            .values(
                state="pending" if next_try_at else "failed",
                next_try_at=next_try_at,
                last_status=status,
                last_error=error,
            )
        )

    def _waiting(self, busy: Collection[str]) -> Select[Any]:
        return (
            select(deliveries)
            .where(deliveries.c.state == "pending", deliveries.c.next_try_at.is_not(None))
            .where(deliveries.c.host.not_in(busy))
            .order_by(deliveries.c.next_try_at)
        )


def _is_at_try(delivery_id: UUID, tries: int) -> tuple[ColumnElement[bool], ...]:
    """Still pending, and no try begun after that one."""
    return (
        deliveries.c.id == delivery_id,
        deliveries.c.state == "pending",
        deliveries.c.tries == tries,
    )


def _by_id(delivery_id: UUID) -> Select[Any]:
    return select(deliveries).where(deliveries.c.id == delivery_id)


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(**row._mapping)
