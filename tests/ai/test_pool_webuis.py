"""The pool in front of real servers, by what those servers saw."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack

import pytest

from ai.errors import EngineError, GenerationCanceled, NoEngine
from tests.ai.conftest import Opening
from tests.ai.pool_webuis import POLICY, all_end, ask, engines, made, status_of
from tests.fake_webui import TINY_A, TINY_B, FakeCheckpoint, FakeWebUI
from tests.running import wait_until

TINY_C = FakeCheckpoint("tinyC", "c" * 64)


# One in flight, nothing lost, nothing twice.


def test_engines_that_differ_share_the_work_one_request_each_at_a_time(
    webuis: ExitStack, opened: Opening
) -> None:
    fakes = [
        webuis.enter_context(FakeWebUI(latency_s=0.01)),
        webuis.enter_context(FakeWebUI(latency_s=0.03, checkpoints=(TINY_B, TINY_C))),
        webuis.enter_context(FakeWebUI(step_latency_s=0.004, switch_cost_s=0.05)),
    ]
    pool = opened(*engines(*fakes), policy=POLICY)
    names = ("tinyA", "tinyB", "tinyC")
    tickets = [pool.submit(ask(f"{n}", names[n % 3]), caller=f"c{n % 4}") for n in range(60)]
    all_end(tickets)
    assert [fake.max_in_flight for fake in fakes] == [1, 1, 1]
    handed_out = Counter(prompt for fake in fakes for prompt in made(fake))
    assert handed_out == Counter(str(n) for n in range(60))
    for n, ticket in enumerate(tickets):
        assert ticket.result().generation.checkpoint == names[n % 3]


def test_when_one_is_killed_in_the_middle_no_job_is_lost_and_none_is_doubled(
    webuis: ExitStack, opened: Opening
) -> None:
    fakes = [webuis.enter_context(FakeWebUI(latency_s=0.01)) for _ in range(3)]
    pool = opened(*engines(*fakes), policy=POLICY)
    doomed = fakes[0]
    doomed.model.state.hold(at_step=2)
    tickets = [pool.submit(ask(f"{n}"), caller=f"c{n % 5}") for n in range(40)]
    doomed.model.state.wait_for_step(2)
    doomed.stop()
    all_end(tickets)
    outcomes = [ticket.result() for ticket in tickets]
    handed_out = Counter(prompt for fake in fakes for prompt in made(fake))
    assert handed_out == Counter(str(n) for n in range(40))
    assert made(doomed) == []
    assert Counter(outcome.attempts for outcome in outcomes)[2] >= 1
    assert max(fake.max_in_flight for fake in fakes) == 1


def test_one_that_was_killed_serves_again_after_it_returns(
    webuis: ExitStack, opened: Opening
) -> None:
    fake = webuis.enter_context(FakeWebUI())
    pool = opened(*engines(fake), policy=POLICY)
    assert pool.generate(ask("before"), caller="me").engine == "webui-0"
    fake.stop()
    wait_until(lambda: status_of(pool, "webui-0").state == "down", "it is seen to be down")
    with pytest.raises(NoEngine):
        pool.submit(ask("meanwhile"), caller="me")
    fake.start()
    wait_until(lambda: status_of(pool, "webui-0").state == "up", "it is back")
    assert pool.generate(ask("after"), caller="me").engine == "webui-0"
    assert made(fake) == ["before", "after"]


def test_accepted_requests_outlast_a_restart_of_the_only_engine(
    webuis: ExitStack, opened: Opening
) -> None:
    fake = webuis.enter_context(FakeWebUI())
    pool = opened(*engines(fake), policy=POLICY)
    fake.model.state.hold()
    tickets = [pool.submit(ask(f"{n}"), caller="me") for n in range(4)]
    fake.wait_for_requests(1)
    fake.stop()
    assert tickets[0].wait(30)
    with pytest.raises(EngineError):
        tickets[0].result()
    fake.model.state.release()
    fake.start()
    all_end(tickets)
    assert made(fake) == ["1", "2", "3"]


# Routing, as the servers see it.


def test_a_checkpoint_loaded_somewhere_is_used_there(webuis: ExitStack, opened: Opening) -> None:
    fakes = [
        webuis.enter_context(FakeWebUI(checkpoints=checkpoints))
        for checkpoints in ((TINY_A, TINY_B), (TINY_B, TINY_A))
    ]
    pool = opened(*engines(*fakes), policy=POLICY)
    for n in range(6):
        assert pool.generate(ask("a", ("tinyA", "tinyB")[n % 2]), caller="me")
    assert [fake.switches for fake in fakes] == [0, 0]


def test_a_mixed_queue_of_one_engine_is_served_with_one_switch(
    webuis: ExitStack, opened: Opening
) -> None:
    fake = webuis.enter_context(FakeWebUI())
    pool = opened(*engines(fake), policy=POLICY)
    fake.model.state.hold()
    tickets = [
        pool.submit(ask(f"{n}", ("tinyA", "tinyB")[n % 2]), caller=f"caller {n}") for n in range(9)
    ]
    fake.model.state.release()
    all_end(tickets)
    assert fake.model.loads == ["tinyB"]


def test_a_burst_makes_no_second_engine_switch(webuis: ExitStack, opened: Opening) -> None:
    fakes = [webuis.enter_context(FakeWebUI(latency_s=0.01, switch_cost_s=1.0)) for _ in range(2)]
    pool = opened(*engines(*fakes), policy=POLICY)
    for _ in range(3):
        all_end([pool.submit(ask("learn"), caller="me") for _ in range(2)])
    all_end([pool.submit(ask("burst", "tinyB"), caller=f"c{n}") for n in range(6)])
    assert sum(fake.switches for fake in fakes) == 1


def test_a_hundred_queued_requests_delay_anothers_one_by_one_job_per_engine(
    webuis: ExitStack, opened: Opening
) -> None:
    fakes = [webuis.enter_context(FakeWebUI()) for _ in range(2)]
    pool = opened(*engines(*fakes), policy=POLICY)
    for fake in fakes:
        fake.model.state.hold()
    heavy = [pool.submit(ask("heavy"), caller="heavy") for _ in range(100)]
    for fake in fakes:
        fake.wait_for_requests(1)
    light = pool.submit(ask("light", "tinyB"), caller="light")
    for fake in fakes:
        fake.model.state.release()
    assert light.wait(30)
    (before,) = [made(fake).index("light") for fake in fakes if "light" in made(fake)]
    assert before <= 1 + len(fakes)  # the one at work, and those both engines began, on one alone
    all_end(heavy)


# Callers who leave, callers who look.


def test_an_engine_is_free_as_soon_as_its_caller_has_left(
    webuis: ExitStack, opened: Opening
) -> None:
    fake = webuis.enter_context(FakeWebUI())
    pool = opened(*engines(fake), policy=POLICY)
    fake.model.state.hold(at_step=2)
    leaving = pool.submit(ask("leaves"), caller="me")
    staying = pool.submit(ask("stays"), caller="me")
    fake.model.state.wait_for_step(2)
    assert leaving.cancel()
    fake.wait_for_requests(2)
    assert staying.state == "processing"
    fake.model.state.release()
    all_end([staying])
    assert staying.result().generation.images
    with pytest.raises(GenerationCanceled):
        leaving.result()
    assert fake.max_in_flight == 1


def test_whoever_is_called_off_under_load_is_the_one_that_ends(
    webuis: ExitStack, opened: Opening
) -> None:
    fakes = [webuis.enter_context(FakeWebUI(step_latency_s=0.002)) for _ in range(2)]
    pool = opened(*engines(*fakes), policy=POLICY)
    tickets = [pool.submit(ask(f"{n}"), caller=f"c{n % 3}") for n in range(60)]
    called_off = {n for n in range(0, 60, 3) if tickets[n].cancel()}
    all_end(tickets)
    for n, ticket in enumerate(tickets):
        if n in called_off:
            with pytest.raises(GenerationCanceled):
                ticket.result()
        else:
            assert ticket.result().generation.images
    assert [fake.max_in_flight for fake in fakes] == [1, 1]


def test_progress_is_asked_of_the_engine_that_runs_the_request_alone(
    webuis: ExitStack, opened: Opening
) -> None:
    busy = webuis.enter_context(FakeWebUI(checkpoints=(TINY_A,)))
    idle = webuis.enter_context(FakeWebUI(checkpoints=(TINY_B,)))
    pool = opened(*engines(busy, idle), policy=POLICY)
    busy.model.state.hold(at_step=2)
    ticket = pool.submit(ask("a cat"), caller="me")
    assert ticket.progress().step == 0
    busy.model.state.wait_for_step(2)
    wait_until(lambda: ticket.progress().step == 2, "two steps are seen")
    assert 0 < ticket.progress().fraction < 1
    assert not [seen for seen in idle.seen if seen.path.endswith("/progress")]
    busy.model.state.release()
    all_end([ticket])
    assert ticket.progress().fraction == 1
