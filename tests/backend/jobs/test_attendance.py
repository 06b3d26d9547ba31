"""Who waits for a job does its tasks; who has left does none any more, and drops none."""

from __future__ import annotations

import threading
from functools import partial

from backend.jobs.attendance import Attendance


def test_nothing_can_be_offered_where_nobody_waits() -> None:
    assert not Attendance().offer(lambda: None)


def test_a_task_is_done_on_the_thread_that_waits() -> None:
    attendance, done_on = Attendance(), list[threading.Thread]()
    attendance.open()
    other = threading.Thread(
        target=lambda: attendance.offer(lambda: done_on.append(threading.current_thread()))
    )
    other.start()
    assert attendance.serve(10.0)
    other.join()
    assert done_on == [threading.current_thread()]


def test_waiting_ends_when_there_is_nothing_to_do() -> None:
    attendance = Attendance()
    attendance.open()
    assert not attendance.serve(0.001)


def test_who_leaves_does_what_was_offered_first() -> None:
    attendance, done = Attendance(), list[int]()
    attendance.open()
    for number in (1, 2):
        attendance.offer(partial(done.append, number))
    attendance.leave()
    assert done == [1, 2]
    assert not attendance.offer(lambda: done.append(3))
    assert done == [1, 2]
