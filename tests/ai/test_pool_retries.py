"""The pool when engines fail: who is asked instead, who rests, who comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

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
    GenerationError,
    InvalidRequest,
    WrongCheckpoint,
    WrongResult,
)
from ai.pool import EnginePool, EngineStatus
from tests.ai.conftest import Opening
from tests.ai.toy_engine import PATIENT, QUICK, ToyEngine, ask
from tests.running import wait_until

ELSEWHERE = [
    EngineUnavailable,
    EngineLost,
    EngineFailed,
    EngineOutOfMemory,
    EngineMadeNan,
    WrongResult,
    WrongCheckpoint,
]
AT_ONCE = [EngineUnavailable, EngineLost, EngineOutOfMemory, EngineTimeout]


def failing(error: type[EngineError]) -> Callable[[], EngineError]:
    return lambda: error("bad", "it went wrong")


def status_of(pool: EnginePool, name: str) -> EngineStatus:
    return next(status for status in pool.status() if status.name == name)


def pair() -> tuple[ToyEngine, ToyEngine]:
    """One that is asked first, since it has the checkpoint loaded, and one other."""
    return ToyEngine("bad"), ToyEngine("good", checkpoints=("other", "x"))


# Asking elsewhere.


@pytest.mark.parametrize("error", ELSEWHERE)
def test_what_one_engine_fails_at_another_is_asked_for(
    opened: Opening, error: type[EngineError]
) -> None:
    bad, good = pair()
    bad.broken = failing(error)
    outcome = opened(bad, good).generate(ask(), caller="me")
    assert (outcome.engine, outcome.attempts) == ("good", 2)
    assert bad.seen[0].seed == good.seen[0].seed


@pytest.mark.parametrize(
    "error",
    [
        EngineRefused("bad", "no"),
        EngineTimeout("bad", "too slow"),
        InvalidRequest("prompt", "no"),
    ],
)
def test_what_asking_elsewhere_would_not_help_is_not_asked_again(
    opened: Opening, error: GenerationError
) -> None:
    bad, good = pair()
    bad.failures.append(error)
    with pytest.raises(type(error)):
        opened(bad, good).generate(ask(), caller="me")
    assert good.seen == []


def test_two_other_engines_are_asked_at_most(opened: Opening) -> None:
    engines = [ToyEngine(f"e{n}") for n in range(5)]
    for engine in engines:
        engine.broken = failing(EngineFailed)
    with pytest.raises(EngineFailed):
        opened(*engines).generate(ask(), caller="me")
    assert sorted(len(engine.seen) for engine in engines) == [0, 0, 1, 1, 1]


def test_with_no_other_engine_its_own_error_is_the_answer(opened: Opening) -> None:
    engine = ToyEngine()
    engine.broken = failing(EngineOutOfMemory)
    ticket = opened(engine).submit(ask(), caller="me")
    assert ticket.wait(10)
    with pytest.raises(EngineOutOfMemory):
        ticket.result()
    assert ticket.attempts == 1


def test_an_engine_that_crashes_in_its_own_way_is_one_that_failed(opened: Opening) -> None:
    bad, good = pair()
    bad.failures.append(ZeroDivisionError())
    pool = opened(bad, good)
    assert pool.generate(ask(), caller="me").engine == "good"
    assert {pool.generate(ask(), caller="me").engine for _ in range(3)} <= {"bad", "good"}


def test_a_retry_goes_before_what_came_later(opened: Opening) -> None:
    bad, good = ToyEngine("bad"), ToyEngine("good", samplers=("Euler", "DDIM"))
    bad.hold()
    good.hold()
    pool = opened(bad, good)
    pool.submit(ask("keeps good busy", sampler_name="DDIM"), caller="a")
    good.wait_for(1)
    pool.submit(ask("retried"), caller="b")
    bad.wait_for(1)
    for n in range(3):
        pool.submit(ask(f"later {n}", sampler_name="DDIM"), caller=f"c{n}")
    bad.failures.append(EngineOutOfMemory("bad", "out of memory"))
    bad.release()
    wait_until(lambda: pool.queue_length() == 4, "the retry waits")
    good.release()
    good.wait_for(5)
    assert good.prompts[1] == "retried"


# Resting.


@pytest.mark.parametrize("error", AT_ONCE)
def test_some_failures_rest_an_engine_at_once(opened: Opening, error: type[EngineError]) -> None:
    engine = ToyEngine("bad")
    engine.failures.append(error("bad", "it went wrong"))
    pool = opened(engine)
    with pytest.raises(error):
        pool.generate(ask(), caller="me")
    status = status_of(pool, "bad")
    assert (status.state, status.last_error) == ("cooling", "it went wrong")
    assert status.cooldown_left_s > 0


def test_other_failures_rest_an_engine_when_they_come_in_a_row(opened: Opening) -> None:
    engine = ToyEngine("bad")
    pool = opened(engine, policy=replace(PATIENT, failures_to_cool=3))
    for error in (EngineFailed, EngineMadeNan, None, EngineFailed, WrongResult):
        if error is None:
            pool.generate(ask(), caller="me")
            continue
        engine.failures.append(error("bad", "it went wrong"))
        with pytest.raises(error):
            pool.generate(ask(), caller="me")
    assert status_of(pool, "bad").state == "up"
    engine.failures.append(EngineFailed("bad", "once more"))
    with pytest.raises(EngineFailed):
        pool.generate(ask(), caller="me")
    assert status_of(pool, "bad").state == "cooling"


def test_a_request_that_fails_everywhere_rests_only_the_first(opened: Opening) -> None:
    engines = [ToyEngine(f"e{n}") for n in range(3)]
    for engine in engines:
        engine.broken = failing(EngineFailed)
    pool = opened(*engines, policy=replace(PATIENT, failures_to_cool=1))
    with pytest.raises(EngineFailed):
        pool.generate(ask(), caller="me")
    assert [status.state for status in pool.status()].count("cooling") == 1


def test_a_refusal_does_not_rest_an_engine_that_answers_its_probe(opened: Opening) -> None:
    engine = ToyEngine("bad")
    engine.failures.append(EngineRefused("bad", "no"))
    pool = opened(engine)
    with pytest.raises(EngineRefused):
        pool.generate(ask(), caller="me")
    wait_until(lambda: engine.probes >= 2, "it is probed again")
    assert status_of(pool, "bad").state == "up"


def test_an_engine_that_rests_is_tried_again_with_one_request(opened: Opening) -> None:
    engine = ToyEngine("bad", concurrency=3)
    engine.failures.append(EngineOutOfMemory("bad", "out of memory"))
    pool = opened(engine, policy=QUICK)
    with pytest.raises(EngineOutOfMemory):
        pool.generate(ask(), caller="me")
    engine.hold()
    tickets = [pool.submit(ask(), caller="me") for _ in range(4)]
    engine.wait_for(2)
    assert [ticket.state for ticket in tickets].count("processing") == 1
    engine.release()
    assert all(ticket.wait(10) for ticket in tickets)
    wait_until(lambda: status_of(pool, "bad").last_error is None, "it is well")


def test_an_engine_that_rests_is_probed_when_its_pause_is_over(opened: Opening) -> None:
    engine = ToyEngine("bad")
    engine.failures.append(EngineOutOfMemory("bad", "out of memory"))
    pool = opened(engine, policy=replace(PATIENT, cooldown_first_s=0.02))
    with pytest.raises(EngineOutOfMemory):
        pool.generate(ask(), caller="me")
    wait_until(lambda: status_of(pool, "bad").state == "up", "it is back")


def test_an_accepted_request_waits_for_an_engine_that_comes_back(opened: Opening) -> None:
    engine = ToyEngine("bad")
    engine.hold()
    pool = opened(engine, policy=QUICK)
    lost = pool.submit(ask(), caller="a")
    waiting = pool.submit(ask(), caller="b")
    engine.wait_for(1)
    engine.down = True
    engine.failures.append(EngineLost("bad", "gone"))
    engine.release()
    assert lost.wait(10)
    wait_until(lambda: status_of(pool, "bad").state == "down", "it is seen to be down")
    assert waiting.state == "queued"
    engine.down = False
    assert waiting.wait(10)
    assert waiting.result().engine == "bad"


def test_an_engine_that_does_not_answer_probes_is_not_asked(opened: Opening) -> None:
    bad, good = pair()
    pool = opened(bad, good, policy=QUICK)
    bad.down = True
    wait_until(lambda: status_of(pool, "bad").state == "down", "it is seen to be down")
    assert pool.generate(ask(), caller="me").engine == "good"
    bad.down = False
    wait_until(lambda: status_of(pool, "bad").state == "up", "it is back")


def test_a_probe_that_fails_beside_a_running_request_counts_for_nothing(opened: Opening) -> None:
    engine = ToyEngine("bad")
    engine.hold()
    pool = opened(engine, policy=QUICK)
    ticket = pool.submit(ask(), caller="me")
    engine.wait_for(1)
    engine.down = True
    probes = engine.probes
    wait_until(lambda: engine.probes >= probes + 3, "it is probed")
    assert status_of(pool, "bad").state == "up"
    engine.release()
    assert ticket.wait(10)
    assert ticket.result().engine == "bad"


# A checkpoint that is not what it says.


def test_a_wrong_checkpoint_bars_an_engine_for_that_checkpoint_only(opened: Opening) -> None:
    bad, good = pair()
    bad = ToyEngine("bad", checkpoints=("x", "y"))
    bad.failures.append(WrongCheckpoint("bad", "made with another checkpoint"))
    pool = opened(bad, good)
    assert pool.generate(ask(), caller="me").engine == "good"
    assert pool.generate(ask(), caller="me").engine == "good"
    assert status_of(pool, "bad").state == "up"
    assert pool.generate(ask(checkpoint="y"), caller="me").engine == "bad"


def test_a_barred_checkpoint_is_tried_again_after_a_while(opened: Opening) -> None:
    engine = ToyEngine("bad")
    engine.failures.append(WrongCheckpoint("bad", "made with another checkpoint"))
    pool = opened(engine, policy=QUICK)
    with pytest.raises(WrongCheckpoint):
        pool.generate(ask(), caller="me")

    def served() -> bool:
        try:
            return pool.generate(ask(), caller="me").engine == "bad"
        except EngineUnavailable:
            return False

    wait_until(served, "it is served again")
