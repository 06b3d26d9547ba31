"""Jobs in the database: one suite for SQLite and for PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine

from backend.jobs.database import open_database
from backend.jobs.ledger import JobLedger
from backend.jobs.records import Ending, Job, LedgerUnavailable, Status
from backend.jobs.tables import metadata
from tests.postgres import Postgres

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
PICTURE = UUID(int=7)
FAILED = Ending(status="failed", attempts=1, engine="a", error_code="e", error_message="why")


@pytest.fixture
def ledger(either_database: Engine) -> JobLedger:
    return JobLedger(either_database)


def job(*, made: datetime = NOON, caller: str = "me", status: Status = "queued") -> Job:
    return Job(
        id=uuid4(),
        caller=caller,
        kind="txt2img",
        status=status,
        detached=True,
        request={"prompt": "ein rotes Häuschen 🏠", "image": {"id": str(PICTURE)}},
        created_at=made,
    )


def added(ledger: JobLedger, **fields: object) -> Job:
    made = job(**fields)  # type: ignore[arg-type]
    ledger.add(made)
    return made


def kept(ledger: JobLedger, job_id: UUID) -> Job:
    found = ledger.get(job_id)
    assert found is not None
    return found


def test_a_job_is_read_as_it_was_written(ledger: JobLedger) -> None:
    made = added(ledger, made=NOON + timedelta(microseconds=123456))
    assert ledger.get(made.id) == made
    assert ledger.get(uuid4()) is None


def test_a_job_starts_once_and_ends_once(ledger: JobLedger) -> None:
    made = added(ledger)
    assert ledger.started(made.id)
    assert not ledger.started(made.id)
    assert ledger.ended(made.id, FAILED)
    assert not ledger.ended(made.id, Ending(status="canceled"))
    assert not ledger.started(made.id)
    assert not ledger.put_back(made.id)
    ended = kept(ledger, made.id)
    assert (ended.status, ended.runs, ended.attempts, ended.engine) == ("failed", 1, 1, "a")
    assert (ended.error_code, ended.error_message) == ("e", "why")
    assert ended.started_at is not None
    assert ended.ended_at is not None
    assert ended.started_at <= ended.ended_at
    assert ended.has_ended


def test_of_many_who_end_a_job_at_the_same_time_one_does(ledger: JobLedger) -> None:
    made = added(ledger)
    endings: list[Status] = ["failed", "canceled", "succeeded", "failed"] * 3
    with ThreadPoolExecutor(len(endings)) as threads:
        won = list(threads.map(lambda s: ledger.ended(made.id, Ending(status=s)), endings))
    assert won.count(True) == 1
    assert kept(ledger, made.id).status == endings[won.index(True)]


def test_work_cut_short_counts_as_a_run_and_an_attempt(ledger: JobLedger) -> None:
    made = added(ledger)
    ledger.started(made.id)
    assert ledger.put_back(made.id)
    waiting = kept(ledger, made.id)
    assert (waiting.status, waiting.started_at) == ("queued", None)
    assert (waiting.runs, waiting.attempts) == (1, 1)
    ledger.started(made.id)
    ledger.ended(made.id, FAILED)
    ended = kept(ledger, made.id)
    assert (ended.runs, ended.attempts) == (2, 2)


def test_work_put_back_in_peace_counts_for_nothing(ledger: JobLedger) -> None:
    made = added(ledger)
    ledger.started(made.id)
    assert ledger.put_back(made.id, blameless=True)
    assert kept(ledger, made.id) == made


def test_what_waits_cannot_be_put_back(ledger: JobLedger) -> None:
    assert not ledger.put_back(added(ledger).id)


def test_a_result_is_kept_whole(ledger: JobLedger) -> None:
    made = added(ledger)
    result = {
        "images": [{"id": str(uuid4()), "seed": 2**32 - 1, "media_type": "image/png"}],
        "parameters": {"cfg_scale": 7.5, "scheduler": None},
    }
    ledger.ended(made.id, Ending(status="succeeded", result=result, queue_s=0.25, engine_s=1.5))
    ended = kept(ledger, made.id)
    assert ended.result == result
    assert (ended.queue_s, ended.engine_s) == (0.25, 1.5)


def test_a_job_let_go_by_its_caller_keeps_its_pictures(ledger: JobLedger) -> None:
    made = replace(job(), detached=False, request={"prompt": "x"})
    ledger.add(made)
    ledger.detached(made.id, {"prompt": "x", "image": {"id": str(PICTURE)}})
    assert kept(ledger, made.id).detached
    assert ledger.pictures_in_use() == {PICTURE}


def test_pictures_are_in_use_until_the_job_has_ended(ledger: JobLedger) -> None:
    made = added(ledger)
    ledger.started(made.id)
    assert ledger.pictures_in_use() == {PICTURE}
    ledger.ended(made.id, FAILED)
    assert ledger.pictures_in_use() == set()


def test_pages_go_from_new_to_old_and_miss_none(ledger: JobLedger) -> None:
    same_time = [added(ledger) for _ in range(4)]
    later = [added(ledger, made=NOON + timedelta(seconds=n + 1)) for n in range(3)]
    added(ledger, caller="another")
    found: list[Job] = []
    while page := ledger.page(
        "me", limit=2, after=(found[-1].created_at, found[-1].id) if found else None
    ):
        assert len(page) <= 2
        found += page
    newest_first = sorted(same_time, key=lambda job: job.id, reverse=True)
    assert found == [*reversed(later), *newest_first]


def test_a_page_may_hold_one_status_alone(ledger: JobLedger) -> None:
    first, second = added(ledger), added(ledger)
    ledger.started(second.id)
    assert [job.id for job in ledger.page("me", limit=9, status="processing")] == [second.id]
    assert [job.id for job in ledger.page("me", limit=9, status="queued")] == [first.id]
    assert ledger.page("me", limit=9, status="canceled") == []


def test_the_unfinished_come_oldest_first(ledger: JobLedger) -> None:
    second, first = added(ledger, made=NOON + timedelta(seconds=1)), added(ledger)
    over = added(ledger)
    ledger.ended(over.id, FAILED)
    ledger.started(second.id)
    assert [job.id for job in ledger.unfinished()] == [first.id, second.id]


def test_only_what_ended_before_is_forgotten(ledger: JobLedger) -> None:
    over, waiting = added(ledger), added(ledger)
    ledger.ended(over.id, FAILED)
    ended_at = kept(ledger, over.id).ended_at
    assert ended_at is not None
    assert ledger.forget_ended_before(ended_at) == 0
    assert ledger.forget_ended_before(ended_at + timedelta(microseconds=1)) == 1
    assert [job.id for job in ledger.page("me", limit=9)] == [waiting.id]


def test_the_migrations_make_the_tables_that_the_code_knows(either_database: Engine) -> None:
    with either_database.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_many_processes_may_migrate_at_once(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.new_database()
    with ThreadPoolExecutor(6) as threads:
        engines = list(threads.map(lambda _: open_database(url, tmp_path), range(6)))
    for engine in engines:
        JobLedger(engine).ping()
        engine.dispose()


def test_a_database_is_migrated_once(tmp_path: Path) -> None:
    for count in range(3):
        engine = open_database(None, tmp_path)
        ledger = JobLedger(engine)
        assert len(ledger.unfinished()) == count
        ledger.add(job())
        engine.dispose()


# What only a database out of reach shows.


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[tuple[JobLedger, Path]]:
    engine = open_database(None, tmp_path)
    yield JobLedger(engine), tmp_path / "sluice.db"
    engine.dispose()


def test_a_write_waits_for_another_process_that_holds_the_lock(
    sqlite: tuple[JobLedger, Path],
) -> None:
    ledger, path = sqlite
    made, begun = job(), threading.Event()

    def add() -> None:
        begun.set()
        ledger.add(made)

    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writer = threading.Thread(target=add)
    writer.start()
    begun.wait()
    assert ledger.get(made.id) is None
    assert ledger.page("me", limit=1) == []
    other.execute("COMMIT")
    other.close()
    writer.join()
    assert ledger.get(made.id) == made


def test_a_database_that_breaks_is_told_in_our_words(sqlite: tuple[JobLedger, Path]) -> None:
    ledger, path = sqlite
    with sqlite3.connect(path) as other:
        other.execute("DROP TABLE jobs")
    other.close()
    for attempt in (ledger.ping, lambda: ledger.add(job()), lambda: ledger.started(PICTURE)):
        with pytest.raises(LedgerUnavailable) as told:
            attempt()
        assert str(path) not in str(told.value)


def test_a_connection_that_postgresql_dropped_is_opened_anew(
    postgres: Postgres, tmp_path: Path
) -> None:
    engine = open_database(postgres.new_database(), tmp_path)
    ledger = JobLedger(engine)
    ledger.ping()
    with engine.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND datname = current_database()"
        )
    ledger.ping()
    engine.dispose()
