"""A ticket of the pool: how its request fares, and the ends that are not a picture."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ai.errors import DeadlineExceeded, GenerationCanceled, UnknownCheckpoint
from ai.leases import Lease
from tests.ai.conftest import Opening
from tests.ai.toy_engine import PATIENT, QUICK, SlowToInterrupt, ToyEngine, ask
from tests.running import wait_until

# Given up.


def test_a_request_that_waits_too_long_is_given_up(opened: Opening) -> None:
    engine = ToyEngine()
    engine.hold()
    pool = opened(engine, policy=replace(PATIENT, queue_timeout_s=0.05))
    running, waiting = (pool.submit(ask(prompt), caller="me") for prompt in ("runs", "waits"))
    assert waiting.wait(10)
    with pytest.raises(DeadlineExceeded):
        waiting.result()
    engine.release()
    assert running.wait(10)
    assert running.result().engine == "toy"
    assert engine.prompts == ["runs"]


def test_a_deadline_stops_what_runs_and_frees_the_engine(opened: Opening) -> None:
    engine = ToyEngine()
    engine.hold()
    pool = opened(engine)
    with pytest.raises(DeadlineExceeded):
        pool.generate(ask(), caller="me", timeout_s=0.05)
    wait_until(lambda: engine.in_flight == 0, "the engine is free")
    assert engine.interrupts > 0
    engine.release()
    assert pool.generate(ask(), caller="me").engine == "toy"


def test_a_caller_who_leaves_while_waiting_leaves_the_queue(opened: Opening) -> None:
    engine = ToyEngine()
    engine.hold()
    pool = opened(engine)
    running = pool.submit(ask("runs"), caller="me")
    waiting = pool.submit(ask("waits"), caller="me")
    assert waiting.cancel()
    assert waiting.state == "ended"
    assert pool.queue_length() == 0
    engine.release()
    assert running.wait(10)
    with pytest.raises(GenerationCanceled):
        waiting.result()
    assert engine.prompts == ["runs"]
    assert engine.interrupts == 0


def test_a_caller_who_leaves_while_running_frees_the_engine_for_the_next(opened: Opening) -> None:
    engine = ToyEngine()
    engine.hold()
    pool = opened(engine)
    first = pool.submit(ask("first"), caller="me")
    second = pool.submit(ask("second"), caller="me")
    engine.wait_for(1)
    assert first.cancel()
    engine.wait_for(2)
    engine.release()
    assert second.wait(10)
    assert second.result().engine == "toy"
    with pytest.raises(GenerationCanceled):
        first.result()


def test_an_interrupt_never_reaches_the_next_request(opened: Opening) -> None:
    engine = ToyEngine()
    pool = opened(engine)
    for _ in range(50):
        engine.hold()
        doomed, safe = pool.submit(ask(), caller="a"), pool.submit(ask(), caller="b")
        doomed.cancel()
        engine.release()
        assert safe.wait(10)
        assert safe.result().engine == "toy"


def test_the_next_request_waits_for_an_interrupt_that_is_under_way(opened: Opening) -> None:
    engine = SlowToInterrupt()
    engine.hold()
    pool = opened(engine)
    doomed, safe = pool.submit(ask(), caller="a"), pool.submit(ask(), caller="b")
    engine.wait_for(1)
    doomed.cancel()
    assert engine.interrupted.wait(10)
    assert safe.wait(10)
    assert not engine.overtaken


def test_a_lease_stopped_before_it_ran_never_asks_the_engine() -> None:
    engine = ToyEngine()
    lease = Lease(engine, ask(), stand_in=False)
    lease.stop()
    with pytest.raises(GenerationCanceled):
        lease.run(1.0)
    assert engine.seen == []


def test_an_engine_keeps_the_checkpoint_of_a_request_called_off(opened: Opening) -> None:
    engine = ToyEngine(checkpoints=("x", "y"))
    engine.hold()
    pool = opened(engine)
    ticket = pool.submit(ask(checkpoint="y"), caller="me")
    engine.wait_for(1)
    ticket.cancel()
    wait_until(lambda: pool.status()[0].in_flight == 0, "the engine is free")
    assert pool.status()[0].loaded == "y"


def test_a_balancer_is_not_interrupted_for_it_would_hit_others(opened: Opening) -> None:
    engine = ToyEngine(concurrency=2)
    engine.hold()
    pool = opened(engine)
    leaving, staying = (pool.submit(ask(), caller="me") for _ in range(2))
    engine.wait_for(2)
    assert leaving.cancel()
    assert leaving.state == "ended"
    engine.release()
    assert staying.wait(10)
    assert staying.result().engine == "toy"
    assert engine.interrupts == 0


def test_what_has_ended_cannot_be_called_off(opened: Opening) -> None:
    pool = opened(ToyEngine())
    ticket = pool.submit(ask(), caller="me")
    assert ticket.wait(10)
    assert not ticket.cancel()
    assert ticket.result().engine == "toy"


def test_what_waits_is_taken_by_an_engine_that_appears(opened: Opening) -> None:
    busy, late = ToyEngine("busy"), ToyEngine("late")
    busy.hold()
    late.down = True
    pool = opened(busy, late, policy=QUICK)
    tickets = [pool.submit(ask(), caller="me") for _ in range(2)]
    late.down = False
    assert tickets[1].wait(10)
    assert tickets[1].result().engine == "late"
    busy.release()
    assert tickets[0].wait(10)


def test_what_waits_for_what_is_gone_is_told_so(opened: Opening) -> None:
    engine = ToyEngine(checkpoints=("x", "y"))
    engine.hold()
    pool = opened(engine, policy=QUICK)
    pool.submit(ask(), caller="me")
    waiting = pool.submit(ask(checkpoint="y"), caller="me")
    engine.has_only("x")
    assert waiting.wait(10)
    with pytest.raises(UnknownCheckpoint):
        waiting.result()
    engine.release()


# Looking.


def test_a_ticket_tells_state_position_and_time_left(opened: Opening) -> None:
    engine = ToyEngine()
    engine.hold()
    pool = opened(engine)
    running, waiting = pool.submit(ask(), caller="a"), pool.submit(ask(), caller="b")
    engine.wait_for(1)
    assert (running.state, running.position, running.engine) == ("processing", None, "toy")
    assert (waiting.state, waiting.position, waiting.engine) == ("queued", 1, None)
    assert waiting.eta_s is not None
    assert waiting.eta_s > 0
    with pytest.raises(RuntimeError):
        waiting.result()
    engine.release()
    assert waiting.wait(10)
    assert [waiting.state, waiting.position, waiting.eta_s] == ["ended", None, None]


def test_progress_comes_from_the_engine_at_work_and_never_falls(opened: Opening) -> None:
    engine = ToyEngine()
    engine.hold()
    pool = opened(engine)
    running, waiting = pool.submit(ask(), caller="a"), pool.submit(ask(), caller="b")
    engine.wait_for(1)
    engine.fraction = 0.5
    assert running.progress().fraction == 0.5
    assert waiting.progress().fraction == 0
    engine.fraction = 0.25
    assert running.progress(preview=True).fraction == 0.5
    engine.release()
    assert running.wait(10)
    assert running.progress().fraction == 1


def test_many_who_ask_for_progress_cost_the_engine_one_question(
    opened: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ai.leases.PROGRESS_FRESH_S", 60.0)
    engine = ToyEngine()
    engine.hold()
    ticket = opened(engine).submit(ask(), caller="me")
    engine.wait_for(1)
    for _ in range(20):
        ticket.progress()
    assert engine.progress_asked == 1
    assert ticket.progress(preview=True).preview == b"preview"
    ticket.progress()
    assert engine.progress_asked == 2
