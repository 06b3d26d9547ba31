"""Quotas, the same in memory and in a real Redis."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing import get_context

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from backend.accounts.memory_quotas import MemoryQuotas
from backend.accounts.quotas import LEASE_S, WINDOWS, Allowance, Quotas, Refusal
from backend.accounts.redis_quotas import RedisQuotas
from tests.running import running_redis

HOUR, DAY = 3600, 86400
_callers = (f"key:{number}" for number in itertools.count())


@dataclass
class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Bench:
    """A store, the clock it goes by, and a caller nobody has seen yet."""

    quotas: Quotas
    clock: Clock
    caller: str = field(default_factory=lambda: next(_callers))

    def admit(self, job: str, work: int, allowance: Allowance) -> Refusal | None:
        return self.quotas.admit(self.caller, job, work, allowance)

    def end(self, job: str, *, refund: bool = False) -> None:
        self.quotas.end(self.caller, job, refund=refund)

    def spent(self, window: str) -> int:
        return self.quotas.standing(self.caller).spent[window].work


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("redis")) as (url, _):
        yield url


@pytest.fixture(params=["memory", "redis"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    clock = Clock()
    with ExitStack() as stack:
        if request.param == "memory":
            yield Bench(MemoryQuotas(clock), clock)
        else:
            redis = stack.enter_context(Redis.from_url(request.getfixturevalue("redis_url")))
            yield Bench(RedisQuotas(redis, clock), clock)


def test_places_are_leased_and_given_back(bench: Bench) -> None:
    two = Allowance(max_jobs=2)
    assert [bench.admit(job, 1, two) for job in "abc"] == [None, None, Refusal("jobs")]
    assert bench.quotas.standing(bench.caller).jobs == 2
    bench.end("a")
    bench.end("a")
    assert [bench.admit(job, 1, two) for job in "cd"] == [None, Refusal("jobs")]


def test_a_lease_that_nobody_renews_is_over(bench: Bench) -> None:
    one = Allowance(max_jobs=1)
    bench.admit("a", 1, one)
    bench.clock.now += LEASE_S - 1
    bench.quotas.hold([(bench.caller, "a")])
    bench.clock.now += LEASE_S - 1
    assert bench.admit("b", 1, one) == Refusal("jobs")
    bench.clock.now += 1
    assert bench.admit("b", 1, one) is None


def test_who_has_no_place_is_charged_nothing(bench: Bench) -> None:
    allowance = Allowance(1, {"hour": 100})
    bench.admit("a", 10, allowance)
    assert bench.admit("b", 10, allowance) == Refusal("jobs")
    assert bench.spent("hour") == 10


def test_a_budget_is_spent_and_comes_back_as_charges_grow_old(bench: Bench) -> None:
    allowance = Allowance(budgets={"hour": 100, "day": 150})
    assert bench.admit("a", 60, allowance) is None
    bench.clock.now += 600
    assert bench.admit("b", 40, allowance) is None
    assert bench.admit("c", 1, allowance) == Refusal("hour", HOUR - 600)
    assert bench.admit("c", 61, allowance) == Refusal("hour", HOUR)
    bench.clock.now += HOUR - 600
    assert bench.admit("c", 50, allowance) is None
    bench.clock.now += HOUR
    assert bench.spent("hour") == 0
    assert bench.admit("d", 10, allowance) == Refusal("day", DAY - 2 * HOUR)


def test_what_exceeds_the_whole_budget_never_fits(bench: Bench) -> None:
    allowance = Allowance(budgets={"hour": 100})
    bench.admit("a", 50, allowance)
    assert bench.admit("b", 101, allowance) == Refusal("hour", None)


def test_a_refund_is_given_once_and_to_all_windows(bench: Bench) -> None:
    allowance = Allowance(budgets={"hour": 100, "day": 100})
    bench.admit("a", 60, allowance)
    bench.admit("b", 40, allowance)
    for _ in range(3):
        bench.end("a", refund=True)
    assert (bench.spent("hour"), bench.spent("day")) == (40, 40)
    bench.end("b")
    bench.end("b", refund=True)
    assert bench.spent("day") == 0
    assert bench.quotas.standing(bench.caller).jobs == 0


def test_callers_do_not_share(bench: Bench) -> None:
    allowance = Allowance(1, {"hour": 10})
    assert bench.admit("a", 10, allowance) is None
    assert bench.quotas.admit(next(_callers), "a", 10, allowance) is None


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("admit"), st.integers(1, 60)),
        st.tuples(st.just("end"), st.integers(0, 12)),
        st.tuples(st.just("refund"), st.integers(0, 12)),
        st.tuples(st.just("pass"), st.integers(1, 5000)),
    ),
    max_size=40,
)


@given(steps=STEPS, hour=st.integers(1, 150), day=st.integers(1, 300), places=st.integers(1, 4))
def test_no_budget_is_ever_exceeded_and_nothing_is_refused_that_fits(
    bench: Bench, steps: list[tuple[str, int]], hour: int, day: int, places: int
) -> None:
    """Against a model that remembers every charge and adds up."""
    bench.caller = next(_callers)
    allowance = Allowance(places, {"hour": hour, "day": day})
    charges: dict[str, tuple[float, int]] = {}
    leases: dict[str, float] = {}

    def spent(window: str) -> int:
        since = bench.clock.now - WINDOWS[window]
        return sum(work for at, work in charges.values() if at > since)

    for number, (what, value) in enumerate(steps):
        if what == "pass":
            bench.clock.now += value
        elif what == "admit":
            leases = {job: until for job, until in leases.items() if until > bench.clock.now}
            fits = len(leases) < places and all(
                spent(name) + value <= budget for name, budget in allowance.budgets.items()
            )
            assert (bench.admit(str(number), value, allowance) is None) == fits
            if fits:
                charges[str(number)] = (bench.clock.now, value)
                leases[str(number)] = bench.clock.now + LEASE_S
        else:
            bench.end(str(value), refund=what == "refund")
            leases.pop(str(value), None)
            if what == "refund":
                charges.pop(str(value), None)
        for window, budget in allowance.budgets.items():
            assert bench.spent(window) == spent(window) <= budget


def _spend(url: str, caller: str, name: str) -> int:
    """How many of 200 jobs one process gets in, ending each third with a refund."""
    admitted = 0
    with Redis.from_url(url) as redis:
        quotas = RedisQuotas(redis)
        for number in range(200):
            job = f"{name}-{number}"
            if quotas.admit(caller, job, 7, Allowance(budgets={"hour": 700})) is None:
                refund = number % 3 == 0
                quotas.end(caller, job, refund=refund)
                admitted += not refund
    return admitted


def test_several_processes_spend_one_budget_exactly(redis_url: str) -> None:
    caller = next(_callers)
    with get_context("spawn").Pool(3) as processes:
        admitted = processes.starmap(_spend, [(redis_url, caller, name) for name in "abc"])
    assert sum(admitted) == 100
    with Redis.from_url(redis_url) as redis:
        assert RedisQuotas(redis).standing(caller).spent["hour"].work == 700


def test_nothing_is_left_in_redis_for_ever(redis_url: str) -> None:
    caller = next(_callers)
    with Redis.from_url(redis_url) as redis:
        quotas = RedisQuotas(redis)
        quotas.admit(caller, "a", 5, Allowance(1, {"hour": 10, "day": 10}))
        quotas.end(caller, "a", refund=False)
        quotas.hold([(caller, "b")])
        for key in redis.scan_iter(f"*{caller}*"):
            assert redis.pttl(key) > 0
