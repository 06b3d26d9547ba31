"""Threads that are given calls: how many, which of them, and how they end."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator

import pytest

from ai.crew import Crew
from tests.running import wait_until

WAIT_S = 10.0
SIZE = 3


@pytest.fixture
def crew() -> Iterator[Crew]:
    crew = Crew("hands", SIZE)
    yield crew
    crew.stop()
    crew.join(time.monotonic() + WAIT_S)


class Held:
    """A call that goes on until it is let go."""

    def __init__(self) -> None:
        self.begun, self.free = threading.Event(), threading.Event()
        self.ended = threading.Event()
        self.thread = 0

    def __call__(self) -> None:
        self.thread = threading.get_ident()
        self.begun.set()
        assert self.free.wait(WAIT_S)
        self.ended.set()

    def let_go(self) -> None:
        self.free.set()
        assert self.ended.wait(WAIT_S)


def all_held(crew: Crew) -> list[Held]:
    calls = [Held() for _ in range(SIZE)]
    for call in calls:
        crew.do(call)
        assert call.begun.wait(WAIT_S)
    return calls


def wait_until_rested(crew: Crew, count: int) -> None:
    wait_until(lambda: len(crew._resting) >= count, f"{count} rest")


def test_as_many_as_its_size_are_done_at_a_time_and_the_others_after_them(crew: Crew) -> None:
    calls = all_held(crew)
    assert len({call.thread for call in calls}) == SIZE
    assert not crew.has_spare
    later = Held()
    crew.do(later)
    assert not later.begun.is_set()
    calls[1].let_go()
    assert later.begun.wait(WAIT_S)
    assert later.thread == calls[1].thread
    for call in (calls[0], calls[2], later):
        call.let_go()


def test_whoever_rested_last_is_asked_first(crew: Crew) -> None:
    calls = all_held(crew)
    for rested, number in enumerate((2, 0, 1), start=1):
        calls[number].let_go()
        wait_until_rested(crew, rested)
    for _ in range(SIZE):
        again = Held()
        again.free.set()
        crew.do(again)
        assert again.ended.wait(WAIT_S)
        assert again.thread == calls[1].thread
        wait_until_rested(crew, SIZE)


def test_a_call_that_fails_is_logged_and_harms_no_other(
    crew: Crew, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(SIZE + 1):
        crew.do(lambda: 1 / 0)
    crew.do(sys.exit)
    done = Held()
    crew.do(done)
    assert done.begun.wait(WAIT_S)
    done.let_go()
    assert "a call failed" in caplog.messages


def refuse(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_where_the_system_grants_no_more_threads_calls_wait_for_those_there_are(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Held(), Held()
    crew.do(first)
    assert first.begun.wait(WAIT_S)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    crew.do(second)
    first.let_go()
    assert second.begun.wait(WAIT_S)
    second.let_go()


def test_where_it_grants_none_that_is_said(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="start new thread"):
        crew.do(Held())


def test_what_was_given_before_the_end_is_done_and_nothing_after(crew: Crew) -> None:
    calls = all_held(crew)
    waiting, late = Held(), Held()
    waiting.free.set()
    crew.do(waiting)
    crew.stop()
    crew.do(late)
    for call in calls:
        call.let_go()
    crew.join(time.monotonic() + WAIT_S)
    assert waiting.ended.is_set()
    assert not late.begun.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "hands"]
