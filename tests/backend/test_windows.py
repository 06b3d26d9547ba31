"""Moving windows, in memory and in a real Redis: the same promises."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from backend.redis_windows import RedisWindows
from backend.windows import MemoryWindows, Window, Windows
from tests.running import running_redis


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("redis")) as (url, _):
        yield url


@pytest.fixture
def shared(redis_url: str) -> Iterator[RedisWindows]:
    with Redis.from_url(redis_url) as redis:
        redis.flushdb()
        yield RedisWindows(redis)


@pytest.fixture(params=["memory", "redis"])
def windows(request: pytest.FixtureRequest) -> Windows:
    if request.param == "memory":
        return MemoryWindows()
    found: RedisWindows = request.getfixturevalue("shared")
    return found


def test_one_that_is_full_refuses_and_those_after_it_are_not_counted(windows: Windows) -> None:
    short, long = Window("a", 2, 60), Window("b", 10, 3600)
    assert [s.used for s in windows.admit([short, long]).standings] == [1, 1]
    assert [s.used for s in windows.admit([short, long]).standings] == [2, 2]
    (refused,) = windows.admit([short, long]).standings
    assert refused.is_refused
    assert 0 < refused.resets_in_s <= 60
    assert [s.used for s in windows.admit([long]).standings] == [3]


def test_a_quota_of_nothing_refuses_all(windows: Windows) -> None:
    (refused,) = windows.admit([Window("none", 0, 60)]).standings
    assert refused.is_refused
    assert refused.used == 0


def test_no_windows_are_no_question(windows: Windows) -> None:
    assert list(windows.admit([]).standings) == []


def test_hits_given_back_are_as_if_they_had_never_been(windows: Windows) -> None:
    short, long = Window("back-a", 2, 60), Window("back-b", 10, 3600)
    windows.admit([short, long])
    counted = windows.admit([short, long])
    assert [s.used for s in counted.standings] == [2, 2]
    after = counted.give_back()
    assert [(s.used, s.is_refused) for s in after] == [(1, False), (1, False)]
    assert 0 < after[0].resets_in_s <= 60
    assert [s.used for s in windows.admit([short, long]).standings] == [2, 2]


def test_only_what_was_counted_is_given_back(windows: Windows) -> None:
    full, other = Window("full", 1, 60), Window("other", 5, 60)
    windows.admit([full])
    refused = windows.admit([other, full])
    assert [s.is_refused for s in refused.standings] == [False, True]
    assert [s.used for s in refused.give_back()] == [0]
    assert windows.admit([full]).standings[0].is_refused


def test_many_give_back_their_own_hits_at_once(windows: Windows) -> None:
    window = Window("busy", 1000, 60)
    kept = 40

    def come_and_go(number: int) -> None:
        counted = windows.admit([window])
        if number >= kept:
            counted.give_back()

    with ThreadPoolExecutor(16) as callers:
        list(callers.map(come_and_go, range(200)))
    assert windows.admit([window]).standings[0].used == kept + 1


def test_a_hit_that_left_by_itself_is_not_given_back_for_another() -> None:
    clock = Clock()
    windows, window = MemoryWindows(clock), Window("slow", 5, 60)
    early = windows.admit([window])
    clock.now += 61
    windows.admit([window])
    assert [s.used for s in early.give_back()] == [1]


def test_in_redis_too_a_hit_that_left_by_itself_is_not_given_back(shared: RedisWindows) -> None:
    window = Window("slow", 1, 1)
    early = shared.admit([window])
    while shared.admit([window]).standings[0].is_refused:
        pass
    assert [s.used for s in early.give_back()] == [1]


def test_many_at_once_let_in_exactly_the_quota(windows: Windows) -> None:
    window = Window("many", 10, 60)
    with ThreadPoolExecutor(16) as callers:
        answers = list(callers.map(lambda _: windows.admit([window]).standings[0], range(200)))
    assert sum(not answer.is_refused for answer in answers) == 10


def test_places_come_back_as_hits_leave_the_window(shared: RedisWindows) -> None:
    window = Window("brief", 1, 1)
    assert not shared.admit([window]).standings[0].is_refused
    refusals = 0
    while shared.admit([window]).standings[0].is_refused:
        refusals += 1
    assert refusals > 0


def test_what_a_request_meets_is_one_command(shared: RedisWindows, redis_url: str) -> None:
    met = [Window(name, 100, 60) for name in ("a", "b", "c")]
    shared.admit(met)
    with Redis.from_url(redis_url) as redis:
        before = redis.info("stats")["total_commands_processed"]
        shared.admit(met)
        after = redis.info("stats")["total_commands_processed"]
    scripts_own = 3 * len(("LINDEX", "LLEN", "RPUSH", "EXPIRE")) + len(("TIME",))
    assert after - before == 1 + len(("INFO",)) + scripts_own


@given(
    gaps=st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=60),
    quota=st.integers(1, 5),
)
def test_never_more_than_the_quota_in_any_stretch(gaps: list[float], quota: int) -> None:
    clock = Clock()
    windows, window, period_s = MemoryWindows(clock), Window("any", quota, 60), 60
    let_in: list[float] = []
    for gap in gaps:
        clock.now += gap
        recent = [at for at in let_in if at > clock.now - period_s]
        (standing,) = windows.admit([window]).standings
        assert standing.is_refused == (len(recent) >= quota)
        if not standing.is_refused:
            let_in.append(clock.now)


def test_callers_who_are_gone_take_no_memory() -> None:
    clock = Clock()
    windows = MemoryWindows(clock)
    for number in range(1000):
        windows.admit([Window(f"caller-{number}", 5, 60)])
    clock.now += 200
    windows.admit([Window("another", 5, 60)])
    assert len(windows._hits) == 1
