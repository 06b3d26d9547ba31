"""Jobs on the slate: changed there for nothing, written together, lost by no failure."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ai.generation import Txt2Img
from backend.generate import ImageGenerator
from backend.jobs import slate as slates
from backend.jobs.live import GenerationResult
from backend.jobs.records import Job, LedgerUnavailable, Terms
from backend.jobs.slate import RIPE, Noted, Slate
from backend.seats import Seats
from tests.backend.jobs.house import House, opened
from tests.backend.jobs.job_support import queued, succeeded
from tests.fake_webui import FakeWebUI


class Book:
    """What was written, batch by batch; fails while it is `closed`, and waits while `held`."""

    def __init__(self) -> None:
        self.batches: list[Sequence[Job]] = []
        self.closed = False
        self.writing = threading.Event()
        self.held = threading.Event()
        self.held.set()

    def write(self, jobs: Sequence[Job]) -> None:
        self.writing.set()
        assert self.held.wait(10)
        if self.closed:
            raise LedgerUnavailable("away")
        self.batches.append(jobs)


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def slate(book: Book) -> Slate:
    return Slate(book.write)


def test_jobs_are_written_together_as_they_have_become(slate: Slate, book: Book) -> None:
    first, second = queued(), queued()
    slate.note(first)
    slate.note(second)
    assert slate.started(first.id) is True
    assert slate.ended(first.id, succeeded(first.id)) is True
    slate.settle()
    ((written, other),) = book.batches
    assert (written.id, written.status, written.runs) == (first.id, "succeeded", 1)
    assert None not in (written.started_at, written.ended_at)
    assert other == second


def test_a_job_starts_once_and_ends_once(slate: Slate) -> None:
    job = queued()
    slate.note(job)
    assert [slate.started(job.id) for _ in range(2)] == [True, False]
    assert [slate.ended(job.id, succeeded(job.id)) for _ in range(2)] == [True, False]


def test_what_is_written_is_the_ledgers(slate: Slate) -> None:
    job = queued()
    slate.note(job)
    slate.settle()
    assert slate.started(job.id) is None
    assert slate.ended(job.id, succeeded(job.id)) is None


def test_a_failure_loses_nothing(slate: Slate, book: Book) -> None:
    job = queued()
    slate.note(job)
    book.closed = True
    with pytest.raises(LedgerUnavailable):
        slate.settle()
    assert slate.ended(job.id, succeeded(job.id)) is True
    book.closed = False
    slate.settle()
    assert [job.status for job in book.batches[0]] == ["succeeded"]


@pytest.mark.parametrize(("fails", "answer"), [(False, None), (True, True)])
def test_a_change_waits_for_the_write_it_meets(
    slate: Slate, book: Book, fails: bool, answer: bool | None
) -> None:
    job = queued()
    slate.note(job)
    book.held.clear()
    book.closed = fails
    writer = threading.Thread(target=lambda: _settled(slate))
    writer.start()
    assert book.writing.wait(10)
    told: list[bool | None] = []
    changer = threading.Thread(target=lambda: told.append(slate.started(job.id)))
    changer.start()
    book.held.set()
    for thread in (writer, changer):
        thread.join(10)
    assert told == [answer]


def _settled(slate: Slate) -> bool:
    try:
        slate.settle()
    except LedgerUnavailable:
        return False
    return True


def test_too_many_for_a_database_that_is_away_are_refused(
    slate: Slate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slates, "MOST", 2)
    slate.note(queued())
    slate.note(queued())
    with pytest.raises(LedgerUnavailable):
        slate.note(queued())


def test_those_that_ended_or_take_their_time_are_due() -> None:
    now = datetime.now(UTC)
    young, old = queued(created_at=now), queued(created_at=now - RIPE - timedelta(seconds=1))
    ended = replace(young, status="failed")
    assert [Noted(job).is_ripe for job in (young, old, ended)] == [False, True, True]


def test_its_thread_writes_what_has_ended_and_closing_the_rest(slate: Slate, book: Book) -> None:
    done, waiting = queued(), queued(created_at=datetime.now(UTC) + timedelta(hours=1))
    slate.start()
    slate.note(waiting)
    slate.note(done)
    slate.ended(done.id, succeeded(done.id))
    assert book.writing.wait(10)
    slate.close()
    assert [[job.id for job in batch] for batch in book.batches] == [[done.id], [waiting.id]]


def test_a_request_that_is_waited_for_is_answered_without_the_database(tmp_path: Path) -> None:
    with FakeWebUI() as webui, opened(tmp_path, webui.url) as house:
        with house.database.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE jobs RENAME TO hidden")
        assert _made(house).images
        with house.database.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE hidden RENAME TO jobs")
        (job,) = house.ledger.page("me", limit=9)
        assert (job.status, job.runs, job.attempts) == ("succeeded", 1, 1)


def _made(house: House) -> GenerationResult:
    request = Txt2Img(prompt="a red circle", width=64, height=64, steps=2)
    return ImageGenerator(house.runner, Seats(64), 60).generate(request, caller="me", terms=Terms())
