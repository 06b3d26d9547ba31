"""Workers share the jobs of one PostgreSQL; no job is two workers', none is nobody's for long."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, event, func, insert, select, text, update

from ai.errors import QueueFull
from backend.jobs.claims import Claims
from backend.jobs.database import open_database
from backend.jobs.ledger import JobLedger
from backend.jobs.line import Bounds, JobLine
from backend.jobs.records import Job
from backend.jobs.tables import jobs
from tests.backend.jobs.job_support import CANCELED, queued
from tests.postgres import Postgres

ANY: tuple[str, ...] = ()
LONG_S = 600.0
SECOND = timedelta(seconds=1)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Office:
    database: Engine
    ledger: JobLedger

    def claims(self, lease_s: float = LONG_S) -> Claims:
        return Claims(self.database, uuid4(), lease_s)

    def line(self, in_all: int = 100, per_caller: int = 100) -> JobLine:
        return JobLine(self.database, Bounds(in_all, per_caller))

    def added(self, caller: str = "me", checkpoint: str | None = None, ago_s: float = 0.0) -> UUID:
        job = queued(
            caller,
            created_at=datetime.now(UTC) - timedelta(seconds=ago_s),
            request={"prompt": "a red circle", "checkpoint": checkpoint},
        )
        self.ledger.add(job)
        return job.id

    def forget_the_leases(self) -> None:
        with self.database.begin() as connection:
            past = func.now() - timedelta(seconds=1)
            connection.execute(update(jobs).values(lease_until=past))


@pytest.fixture
def office(postgres: Postgres, tmp_path: Path) -> Iterator[Office]:
    database = open_database(postgres.new_database(), tmp_path)
    yield Office(database, JobLedger(database))
    database.dispose()


def ids(claimed: list[Job | None]) -> list[UUID]:
    return [job.id for job in claimed if job is not None]


def test_jobs_are_claimed_oldest_first_each_once(office: Office) -> None:
    added = [office.added(ago_s=10 - n) for n in range(3)]
    first, second = office.claims(), office.claims()
    claimed = [first.claim(ANY), second.claim(ANY), first.claim(ANY), second.claim(ANY)]
    assert ids(claimed) == added
    assert claimed[3] is None


def test_many_workers_at_once_never_share_a_job(office: Office) -> None:
    added = {office.added() for _ in range(60)}
    workers = [office.claims() for _ in range(8)]

    def work(worker: Claims) -> list[UUID]:
        taken = []
        while (job := worker.claim(ANY)) is not None:
            taken.append(job.id)
        return taken

    with ThreadPoolExecutor(8) as threads:
        taken = [job_id for some in threads.map(work, workers) for job_id in some]
    assert len(taken) == len(set(taken))
    assert set(taken) <= added
    worker = office.claims()
    rest = iter(lambda: worker.claim(ANY), None)
    assert {*taken, *ids(list(rest))} == added


def test_callers_take_turns_however_many_jobs_one_has(office: Office) -> None:
    many = [office.added("many", ago_s=100 - n) for n in range(5)]
    few = office.added("few")
    worker = office.claims()
    assert ids([worker.claim(ANY) for _ in range(3)]) == [many[0], few, many[1]]


def test_a_job_is_left_to_those_who_have_its_checkpoint(office: Office) -> None:
    office.added(checkpoint="rare", ago_s=10)
    common = office.added(checkpoint="common", ago_s=5)
    whichever = office.added()
    worker = office.claims()
    assert ids([worker.claim({"common"}) for _ in range(3)]) == [common, whichever]
    assert office.claims().claim({"rare", "other"}) is not None


def test_a_job_that_one_avoids_is_anothers(office: Office) -> None:
    old, young = office.added(ago_s=10), office.added()
    worker = office.claims()
    assert ids([worker.claim(ANY, avoiding=[old]) for _ in range(2)]) == [young]
    assert ids([office.claims().claim(ANY)]) == [old]


def test_a_job_is_taken_ahead_only_while_enough_wait_for_the_others(office: Office) -> None:
    for _ in range(3):
        office.added()
    worker = office.claims()
    assert len(ids([worker.claim(ANY, beyond=1) for _ in range(3)])) == 2
    assert worker.claim(ANY) is not None


def test_a_job_whose_lease_ran_out_is_anothers_and_is_missed_by_the_first(office: Office) -> None:
    job_id = office.added()
    first, second = office.claims(), office.claims()
    first.claim(ANY)
    assert office.ledger.started(job_id)
    assert second.claim(ANY) is None
    assert first.renew() == {job_id}
    office.forget_the_leases()
    taken = second.claim(ANY)
    assert taken is not None
    assert (taken.id, taken.status, taken.runs) == (job_id, "processing", 1)
    assert first.renew() == set()
    assert not first.release(job_id)
    assert second.renew() == {job_id}


def test_a_job_given_back_is_the_next_ones_at_once(office: Office) -> None:
    job_id = office.added()
    first, second = office.claims(), office.claims()
    first.claim(ANY)
    assert first.release(job_id)
    assert ids([second.claim(ANY)]) == [job_id]


def test_a_job_that_has_ended_is_nobodys(office: Office) -> None:
    job_id = office.added()
    worker = office.claims()
    worker.claim(ANY)
    office.ledger.ended(job_id, CANCELED)
    assert worker.renew() == set()
    assert not worker.release(job_id)
    office.forget_the_leases()
    assert worker.claim(ANY) is None


def test_the_line_never_grows_beyond_its_bound_whoever_adds_at_once(office: Office) -> None:
    lines = [office.line(in_all=10) for _ in range(4)]

    def add(number: int) -> bool:
        try:
            with lines[number % 4].place_for("me", 2):
                office.added()
        except QueueFull:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        accepted = list(threads.map(add, range(40)))
    assert sum(accepted) == 12
    assert lines[0].waiting().count == 12


def test_jobs_at_work_take_the_places_that_need_no_waiting(office: Office) -> None:
    line = office.line(in_all=1)
    at_work = office.added()
    office.ledger.started(at_work)
    with line.place_for("me", 1):
        office.added()
    with pytest.raises(QueueFull), line.place_for("me", 1):
        pytest.fail("there was a place")


def test_one_caller_is_refused_where_another_is_not(office: Office) -> None:
    line = office.line(per_caller=2)
    for _ in range(2):
        with line.place_for("greedy", 0):
            office.added("greedy")
    with pytest.raises(QueueFull, match="of yours"), line.place_for("greedy", 0):
        pytest.fail("there was a place")
    with line.place_for("modest", 0):
        office.added("modest")


def test_a_job_has_its_place_among_those_that_wait(office: Office) -> None:
    line = office.line()
    first, second, third = (office.added(ago_s=3 - n) for n in range(3))
    office.ledger.started(first)
    standings = [line.standing(job_id) for job_id in (first, second, third)]
    assert [(s.status, s.position) for s in standings if s] == [
        ("processing", None),
        ("queued", 1),
        ("queued", 2),
    ]
    assert line.standing(uuid4()) is None


def test_those_over_and_those_waiting_too_long_are_found(office: Office) -> None:
    line = office.line()
    ended, waiting, late = office.added(), office.added(), office.added(ago_s=60)
    office.ledger.ended(ended, CANCELED)
    unknown = uuid4()
    assert line.over([ended, waiting, late, unknown]) == {ended, unknown}
    assert line.waiting_longer([ended, waiting, late], 30) == {late}
    assert office.ledger.expired(late, CANCELED)
    assert office.ledger.started(waiting)
    assert not office.ledger.expired(waiting, CANCELED)
    with office.database.connect() as connection:
        rows = connection.execute(select(jobs.c.id, jobs.c.status)).all()
    statuses = {row.id: row.status for row in rows}
    assert (statuses[late], statuses[waiting]) == ("canceled", "processing")


def test_those_waited_for_are_found_wherever_they_were_taken_in(office: Office) -> None:
    mine = [queued("me", detached=False, created_at=LONG_AGO + n * SECOND) for n in (2, 0, 1)]
    ended, others = queued("me", detached=False), queued("other", detached=False)
    for job in (*mine, ended, others, queued("me")):
        office.ledger.add(job)
    office.ledger.ended(ended.id, CANCELED)
    office.ledger.started(mine[0].id)
    line = office.line()
    assert ids([*line.awaited("me")]) == [mine[1].id, mine[2].id, mine[0].id]
    office.ledger.detached(mine[1].id)
    assert ids([*line.awaited("me")]) == [mine[2].id, mine[0].id]
    kept = office.ledger.get(mine[1].id)
    assert kept is not None
    assert kept.request == mine[1].request


def test_those_waited_for_are_found_by_an_index_among_many_that_ended(office: Office) -> None:
    with office.database.begin() as connection:
        ended = [queued("me", status="succeeded", detached=False) for _ in range(3000)]
        rows = [{name: getattr(job, name) for name in Job.__slots__} for job in ended]
        connection.execute(insert(jobs), rows)
        connection.execute(text("ANALYZE jobs"))
    planned: list[str] = []

    def plan(connection: Connection, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not statement.startswith("EXPLAIN"):
            asked = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
            planned.extend(row[0] for row in asked)

    event.listen(office.database, "before_cursor_execute", plan)
    office.line().awaited("me")
    event.remove(office.database, "before_cursor_execute", plan)
    assert any("jobs_by_status" in step for step in planned), planned
    assert not any("Seq Scan" in step for step in planned)
