"""A key belongs to one job of a caller, from its acceptance until a day later or its failure."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from backend.jobs.idempotency import (
    KEY_TTL,
    IdempotencyConflict,
    IdempotencyKeyReused,
    IdempotencyKeys,
)
from backend.jobs.ledger import JobLedger
from backend.jobs.records import Ending, Job, KeyTaken, Terms
from tests.backend.jobs.job_support import CANCELED, FAILED, claim, queued, succeeded

YESTERDAY = datetime.now(UTC) - KEY_TTL


@pytest.fixture
def database(either_database: Engine) -> Engine:
    return either_database


@pytest.fixture
def ledger(database: Engine) -> JobLedger:
    return JobLedger(database)


@pytest.fixture
def keys(database: Engine) -> IdempotencyKeys:
    return IdempotencyKeys(database)


def added(ledger: JobLedger, status: int = 200, **fields: object) -> Job:
    job = queued(**fields)  # type: ignore[arg-type]
    ledger.add(job, Terms(claim=claim(status=status)))
    return job


def test_a_second_job_with_the_key_is_not_kept(ledger: JobLedger, keys: IdempotencyKeys) -> None:
    first, second = added(ledger), queued()
    with pytest.raises(KeyTaken):
        ledger.add(second, Terms(claim=claim()))
    assert ledger.get(second.id) is None
    ledger.ended(first.id, succeeded())
    earlier = keys.earlier("somebody", claim())
    assert earlier is not None
    assert earlier.job.id == first.id


def test_of_many_at_once_one_gets_the_key(ledger: JobLedger) -> None:
    def is_added(job: Job) -> bool:
        try:
            ledger.add(job, Terms(claim=claim()))
        except KeyTaken:
            return False
        return True

    jobs = [queued() for _ in range(20)]
    with ThreadPoolExecutor(20) as callers:
        assert sum(callers.map(is_added, jobs)) == 1
    assert len(ledger.unfinished()) == 1


def test_callers_do_not_share_keys(ledger: JobLedger, keys: IdempotencyKeys) -> None:
    added(ledger)
    assert keys.earlier("somebody else", claim()) is None
    added(ledger, caller="somebody else")


def test_a_key_with_another_request_is_refused_even_while_the_first_runs(
    ledger: JobLedger, keys: IdempotencyKeys
) -> None:
    added(ledger)
    with pytest.raises(IdempotencyKeyReused):
        keys.earlier("somebody", claim(fingerprint="0" * 64))


def test_what_is_waited_for_conflicts_until_it_is_done(
    ledger: JobLedger, keys: IdempotencyKeys
) -> None:
    job = added(ledger)
    with pytest.raises(IdempotencyConflict):
        keys.earlier("somebody", claim())
    ledger.started(job.id)
    with pytest.raises(IdempotencyConflict):
        keys.earlier("somebody", claim())
    ledger.ended(job.id, succeeded())
    assert keys.earlier("somebody", claim()) is not None


def test_what_is_accepted_at_once_is_answered_at_once(
    ledger: JobLedger, keys: IdempotencyKeys
) -> None:
    job = added(ledger, status=202)
    earlier = keys.earlier("somebody", claim(status=202))
    assert earlier is not None
    assert earlier.job.id == job.id


@pytest.mark.parametrize("ending", [FAILED, CANCELED])
def test_a_job_waited_for_that_made_nothing_gives_its_key_up(
    ledger: JobLedger, keys: IdempotencyKeys, ending: Ending
) -> None:
    ledger.ended(added(ledger).id, ending)
    assert keys.earlier("somebody", claim()) is None
    added(ledger)


@pytest.mark.parametrize("ending", [FAILED, CANCELED])
def test_an_accepted_job_keeps_its_key_however_it_ends(
    ledger: JobLedger, keys: IdempotencyKeys, ending: Ending
) -> None:
    ledger.ended(added(ledger, status=202).id, ending)
    assert keys.earlier("somebody", claim(status=202)) is not None


def test_a_released_key_is_free(ledger: JobLedger, keys: IdempotencyKeys) -> None:
    ledger.release_key(added(ledger, status=202).id)
    assert keys.earlier("somebody", claim(status=202)) is None
    added(ledger, status=202)


def test_a_day_later_the_key_is_free(ledger: JobLedger, keys: IdempotencyKeys) -> None:
    ledger.ended(added(ledger, created_at=YESTERDAY).id, succeeded())
    assert keys.earlier("somebody", claim()) is None
    added(ledger)


def test_the_first_answers_time_is_told_again(ledger: JobLedger, keys: IdempotencyKeys) -> None:
    made = datetime.now(UTC) - timedelta(seconds=30)
    job = added(ledger, created_at=made)
    ledger.ended(job.id, succeeded())
    unanswered = keys.earlier("somebody", claim())
    assert unanswered is not None
    assert unanswered.processing_s >= 30
    keys.answered("somebody", "key", 1.25)
    answered = keys.earlier("somebody", claim())
    assert answered is not None
    assert answered.processing_s == 1.25


def test_old_keys_are_forgotten_and_young_ones_not(
    ledger: JobLedger, keys: IdempotencyKeys
) -> None:
    added(ledger, created_at=YESTERDAY)
    added(ledger, caller="somebody else")
    assert keys.forget_before(datetime.now(UTC) - KEY_TTL + timedelta(minutes=1)) == 1
    with pytest.raises(IdempotencyConflict):
        keys.earlier("somebody else", claim())
