"""An engine's health: when it rests, for how long, and how it comes back."""

from __future__ import annotations

import pytest

from ai.errors import (
    EngineError,
    EngineFailed,
    EngineLost,
    EngineMadeNan,
    EngineOutOfMemory,
    EngineRefused,
    EngineTimeout,
    EngineUnavailable,
    WrongCheckpoint,
    WrongResult,
)
from ai.health import EngineHealth
from ai.pool import PoolPolicy

POLICY = PoolPolicy(
    cooldown_first_s=1.0, cooldown_max_s=8.0, failures_to_cool=3, probe_interval_s=5.0
)


def error(kind: type[EngineError] = EngineFailed) -> EngineError:
    return kind("engine", f"{kind.__name__} happened")


@pytest.fixture
def health() -> EngineHealth:
    """Of an engine that is up."""
    health = EngineHealth(POLICY)
    health.probed(0.0)
    return health


def test_an_engine_is_not_used_before_it_has_answered_a_probe() -> None:
    health = EngineHealth(POLICY)
    assert (health.state, health.usable) == ("unknown", False)
    health.probed(0.0)
    assert (health.state, health.usable, health.on_trial) == ("up", True, False)


@pytest.mark.parametrize("kind", [EngineUnavailable, EngineLost, EngineTimeout, EngineOutOfMemory])
def test_severe_failures_rest_it_at_once(health: EngineHealth, kind: type[EngineError]) -> None:
    health.failed(error(kind), 10.0, blameless=True)
    assert (health.state, health.last_error) == ("cooling", f"{kind.__name__} happened")
    assert health.cooldown_left_s(10.25) == 0.75
    assert health.next_probe_at(10.25) == 11.0


@pytest.mark.parametrize("kind", [EngineFailed, EngineMadeNan, WrongResult])
def test_other_failures_rest_it_the_third_time_in_a_row(
    health: EngineHealth, kind: type[EngineError]
) -> None:
    for _ in range(2):
        health.failed(error(kind), 0.0)
    health.succeeded(0.0)
    assert health.last_error is None
    for _ in range(2):
        health.failed(error(kind), 0.0)
    assert health.usable
    health.failed(error(kind), 0.0)
    assert health.state == "cooling"


@pytest.mark.parametrize("kind", [EngineRefused, WrongCheckpoint])
def test_some_failures_say_nothing_of_its_health(
    health: EngineHealth, kind: type[EngineError]
) -> None:
    for _ in range(10):
        health.failed(error(kind), 0.0)
    assert health.usable


def test_a_request_that_failed_elsewhere_too_is_not_held_against_it(health: EngineHealth) -> None:
    for _ in range(10):
        health.failed(error(), 0.0, blameless=True)
    assert health.usable


def test_a_probe_during_the_pause_does_not_end_it(health: EngineHealth) -> None:
    health.failed(error(EngineOutOfMemory), 0.0)
    health.probed(0.5)
    assert health.state == "cooling"
    health.probed(1.0)
    assert (health.state, health.on_trial) == ("up", True)


def test_pauses_double_up_to_the_longest_until_something_succeeds(health: EngineHealth) -> None:
    now, pauses = 0.0, []
    for _ in range(5):
        health.failed(error(EngineOutOfMemory), now)
        pauses.append(health.cooldown_left_s(now))
        now += pauses[-1]
        health.probed(now)
    assert pauses == [1, 2, 4, 8, 8]
    health.succeeded(0.0)
    assert not health.on_trial
    health.failed(error(EngineOutOfMemory), now)
    assert health.cooldown_left_s(now) == 1


def test_on_trial_one_failure_of_any_sort_is_enough(health: EngineHealth) -> None:
    health.failed(error(EngineOutOfMemory), 0.0)
    health.probed(1.0)
    health.failed(error(EngineMadeNan), 1.0)
    assert health.state == "cooling"


def test_a_failed_probe_makes_it_down_and_a_good_one_brings_it_back(health: EngineHealth) -> None:
    health.probe_failed(error(EngineUnavailable), 0.0)
    assert (health.state, health.last_error) == ("down", "EngineUnavailable happened")
    health.probe_failed(error(EngineUnavailable), 1.0)
    assert health.cooldown_left_s(1.0) == 2
    health.probed(3.0)
    assert (health.state, health.on_trial) == ("up", True)


def test_one_probe_may_go_unanswered(health: EngineHealth) -> None:
    health.probe_failed(error(EngineTimeout), 0.0)
    assert health.usable
    health.probed(5.0)
    health.probe_failed(error(EngineTimeout), 10.0)
    assert health.usable
    health.probe_failed(error(EngineTimeout), 15.0)
    assert health.state == "down"


def test_an_unanswered_probe_excuses_no_other_failure(health: EngineHealth) -> None:
    health.probe_failed(error(EngineTimeout), 0.0)
    health.probe_failed(error(EngineUnavailable), 5.0)
    assert health.state == "down"


def test_an_engine_that_is_up_is_probed_at_intervals(health: EngineHealth) -> None:
    assert health.next_probe_at(7.0) == 12.0
    assert health.cooldown_left_s(7.0) == 0


def test_requests_that_go_well_spare_it_probes_for_a_while(health: EngineHealth) -> None:
    assert health.spared_until() == float("-inf")
    health.succeeded(10.0)
    assert health.spared_until() == 15.0
    health.succeeded(59.0)
    assert health.spared_until() == 60.0, "its facts are asked for all the same"
    health.failed(error(EngineOutOfMemory), 60.0)
    assert health.spared_until() == float("-inf")
