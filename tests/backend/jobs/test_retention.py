"""What is forgotten and when, and what a live job still needs."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, update

from ai.generation import Img2Img, Picture
from backend.jobs.codec import with_pictures
from backend.jobs.idempotency import KEY_TTL, IdempotencyKeys
from backend.jobs.ledger import JobLedger
from backend.jobs.records import Job, LedgerUnavailable, Terms
from backend.jobs.retention import Retention
from backend.jobs.tables import jobs
from backend.storage.local import LocalImageStore
from tests.backend.jobs.job_support import FAILED, claim, queued, succeeded
from tests.pictures import png

HOUR = 3600.0


@pytest.fixture
def database(either_database: Engine) -> Engine:
    return either_database


@pytest.fixture
def ledger(database: Engine) -> JobLedger:
    return JobLedger(database)


@pytest.fixture
def keys(database: Engine) -> IdempotencyKeys:
    return IdempotencyKeys(database)


def ended(database: Engine, job: Job, hours_ago: float, *, terms: Terms | None = None) -> Job:
    """`job` in the ledger, ended so long ago, with an image of its own id."""
    ledger = JobLedger(database)
    ledger.add(job, terms or Terms())
    ledger.ended(job.id, succeeded(job.id))
    then = datetime.now(UTC) - timedelta(hours=hours_ago)
    with database.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job.id).values(ended_at=then))
    return job


def test_jobs_are_forgotten_so_long_after_their_end(
    database: Engine, ledger: JobLedger, keys: IdempotencyKeys
) -> None:
    old, young = ended(database, queued(), 2), ended(database, queued(), 0.5)
    running = queued(created_at=datetime.now(UTC) - timedelta(days=9))
    ledger.add(running)
    Retention(ledger, keys, job_ttl_s=HOUR).sweep()
    assert ledger.get(old.id) is None
    assert ledger.get(young.id) is not None
    assert ledger.get(running.id) is not None


def test_an_image_is_known_as_long_as_a_job_that_has_it(
    database: Engine, ledger: JobLedger, keys: IdempotencyKeys
) -> None:
    old, young = ended(database, queued(), 2), ended(database, queued(), 0.5)
    assert ledger.makers_of(old.id)
    Retention(ledger, keys, job_ttl_s=HOUR).sweep()
    assert not ledger.makers_of(old.id)
    assert ledger.makers_of(young.id)
    assert not ledger.makers_of(uuid4())


def test_a_job_that_a_key_stands_for_is_kept_as_long_as_the_key(
    database: Engine, ledger: JobLedger, keys: IdempotencyKeys
) -> None:
    young = ended(database, queued(), 2, terms=Terms(claim=claim("young")))
    day_old = queued(created_at=datetime.now(UTC) - KEY_TTL)
    ended(database, day_old, 2, terms=Terms(claim=claim("old")))
    Retention(ledger, keys, job_ttl_s=HOUR).sweep()
    assert ledger.get(young.id) is not None
    assert ledger.get(day_old.id) is None


@pytest.mark.parametrize("ttl_s", [1e-9, 1e300])
def test_any_time_to_keep_jobs_can_be_set(
    ledger: JobLedger, keys: IdempotencyKeys, ttl_s: float
) -> None:
    Retention(ledger, keys, job_ttl_s=ttl_s).sweep()


class FailsTwice(JobLedger):
    """A ledger whose database cannot be reached at first, and then surprises."""

    def __init__(self, database: Engine) -> None:
        super().__init__(database)
        self._failures = [LedgerUnavailable("away"), RuntimeError("odd")]
        self.swept = threading.Event()

    def forget_ended_before(self, time: datetime) -> int:
        if self._failures:
            raise self._failures.pop(0)
        self.swept.set()
        return super().forget_ended_before(time)


def test_a_database_out_of_reach_does_not_end_the_sweeping(
    database: Engine, keys: IdempotencyKeys
) -> None:
    ledger = FailsTwice(database)
    retention = Retention(ledger, keys, job_ttl_s=0.1)
    retention.start()
    try:
        assert ledger.swept.wait(20)
    finally:
        retention.close()


def test_a_picture_that_a_live_job_is_made_from_is_never_swept(
    tmp_path: Path, ledger: JobLedger
) -> None:
    store = LocalImageStore(
        tmp_path / "store", max_bytes=10_000_000, ttl_s=1.0, protected=ledger.pictures_in_use
    )
    try:
        picture = Picture(png(), "image/png", 64, 64)
        request = Img2Img(prompt="a star", image=picture)
        job = queued(kind="img2img", request=with_pictures(request, store))
        ledger.add(job)
        for path in (tmp_path / "store").rglob("*"):
            os.utime(path, (time.time() - 900, time.time() - 900))
        store.sweep()
        (kept,) = ledger.pictures_in_use()
        assert store.read(kept) == picture.data
        ledger.ended(job.id, FAILED)
        store.sweep()
        assert store.read(kept) is None
    finally:
        store.close()
