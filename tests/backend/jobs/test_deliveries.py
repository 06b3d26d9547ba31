"""Deliveries in the database: promised with the job, due with its end, claimed by one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete

from backend.jobs.database import open_database
from backend.jobs.deliveries import Deliveries, Delivery, jobs_with_pending
from backend.jobs.tables import jobs
from tests.backend.jobs.webhook_support import (
    BODY,
    add_job,
    delivery_of,
    end,
    ended_job,
    job_ids,
    promise,
)

URL = "https://receiver.example/hook"
LEASE = timedelta(seconds=60)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(None, tmp_path)
    yield engine
    engine.dispose()


@pytest.fixture
def deliveries(database: Engine) -> Deliveries:
    return Deliveries(database)


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


def claimed(deliveries: Deliveries, now: datetime | None = None) -> Delivery:
    delivery = deliveries.claim(now or soon(), LEASE, [])
    assert delivery is not None
    return delivery


def test_a_promise_is_not_due_before_its_job_ends(database: Engine, deliveries: Deliveries) -> None:
    job_id = promise(database, URL)
    assert delivery_of(database, job_id).state == "pending"
    assert deliveries.claim(soon(), LEASE, []) is None
    assert deliveries.next_due([]) is None
    end(database, job_id)
    delivery = claimed(deliveries)
    assert (delivery.job_id, delivery.url, delivery.tries) == (job_id, URL, 1)
    assert delivery.body == BODY.decode()


def test_a_job_without_a_promise_ends_without_a_delivery(
    database: Engine, deliveries: Deliveries
) -> None:
    job_id = add_job(database)
    end(database, job_id)
    assert deliveries.of_jobs([job_id]) == {}
    assert deliveries.claim(soon(), LEASE, []) is None


def test_an_end_told_twice_is_sent_as_it_was_first(database: Engine) -> None:
    job_id = ended_job(database, URL)
    end(database, job_id, b"another")
    assert delivery_of(database, job_id).body == BODY.decode()


def test_one_claimed_is_nobody_elses_until_its_lease_is_over(
    database: Engine, deliveries: Deliveries
) -> None:
    ended_job(database, URL)
    now = soon()
    first = claimed(deliveries, now)
    assert Deliveries(database).claim(now + LEASE / 2, LEASE, []) is None
    again = claimed(Deliveries(database), now + LEASE)
    assert (again.id, again.tries) == (first.id, 2)


def test_the_one_due_longest_comes_first_and_busy_hosts_not_at_all(
    database: Engine, deliveries: Deliveries
) -> None:
    older = ended_job(database, URL)
    newer = ended_job(database, "https://other.example/hook")
    delivery = deliveries.claim(soon(), LEASE, ["receiver.example"])
    assert delivery is not None
    assert delivery.job_id == newer
    assert deliveries.next_due(["receiver.example"]) == delivery.next_try_at
    assert claimed(deliveries).job_id == older


def test_a_missed_one_waits_for_its_next_try_and_the_last_one_fails(
    database: Engine, deliveries: Deliveries
) -> None:
    job_id = ended_job(database, URL)
    later = soon() + timedelta(hours=1)
    deliveries.missed(claimed(deliveries), 500, "the receiver answered 500", later)
    kept = delivery_of(database, job_id)
    assert (kept.state, kept.last_status, kept.next_try_at) == ("pending", 500, later)
    deliveries.missed(claimed(deliveries, later), None, "no answer", None)
    kept = delivery_of(database, job_id)
    assert (kept.state, kept.last_status, kept.last_error) == ("failed", None, "no answer")
    assert deliveries.claim(later + LEASE * 10, LEASE, []) is None


def test_a_try_that_ends_after_another_has_begun_changes_only_a_success(
    database: Engine, deliveries: Deliveries
) -> None:
    job_id = ended_job(database, URL)
    now = soon()
    stale = claimed(deliveries, now)
    claimed(deliveries, now + LEASE)
    deliveries.missed(stale, 500, "the receiver answered 500", None)
    assert delivery_of(database, job_id).state == "pending"
    deliveries.delivered(stale, 200)
    kept = delivery_of(database, job_id)
    assert (kept.state, kept.last_status, kept.next_try_at) == ("delivered", 200, None)
    assert kept.delivered_at is not None


def test_jobs_are_kept_for_their_pending_deliveries_and_take_them_along(
    database: Engine, deliveries: Deliveries
) -> None:
    pending, done = ended_job(database, URL), ended_job(database, "https://other.example/")
    delivery = deliveries.claim(soon(), LEASE, ["receiver.example"])
    assert delivery is not None
    deliveries.delivered(delivery, 204)
    with database.begin() as connection:
        connection.execute(delete(jobs).where(jobs.c.id.not_in(jobs_with_pending())))
    assert job_ids(database) == [pending]
    assert deliveries.of_jobs([pending, done]).keys() == {pending}
