"""The pool with engines in memory: the queue, the ticket, the ends of a request."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ai.errors import (
    NoEngine,
    QueueFull,
    UnknownCheckpoint,
    UnknownSampler,
    UnknownScheduler,
    UnsupportedRequest,
)
from ai.generation import Img2Img, Picture, Txt2Img
from ai.pool import EnginePool
from tests.ai.conftest import Opening
from tests.ai.toy_engine import PATIENT, ToyEngine, ask

# Serving.


def test_an_outcome_says_who_made_it_and_what_it_took(opened: Opening) -> None:
    outcome = opened(ToyEngine("one")).generate(ask(), caller="me")
    assert (outcome.engine, outcome.device, outcome.attempts) == ("one", "cuda", 1)
    assert not outcome.fallback
    assert outcome.queue_s >= 0
    assert outcome.engine_s > 0
    assert outcome.generation.checkpoint == "x"


def test_a_seed_left_to_chance_is_drawn_before_the_engine_sees_it(opened: Opening) -> None:
    engine = ToyEngine()
    opened(engine).generate(ask(seed=-1), caller="me")
    assert engine.seen[0].seed >= 0


def test_one_request_at_a_time_is_in_flight_at_an_engine(opened: Opening) -> None:
    engine = ToyEngine()
    engine.hold()
    pool = opened(engine)
    tickets = [pool.submit(ask(), caller="me") for _ in range(5)]
    engine.wait_for(1)
    engine.release()
    assert all(ticket.wait(10) for ticket in tickets)
    assert engine.most_in_flight == 1


def test_an_upstream_that_is_a_balancer_gets_as_many_as_it_may_have(opened: Opening) -> None:
    engine = ToyEngine(concurrency=3)
    engine.hold()
    pool = opened(engine)
    tickets = [pool.submit(ask(), caller="me") for _ in range(5)]
    engine.wait_for(3)
    assert [ticket.state for ticket in tickets].count("processing") == 3
    engine.release()
    assert all(ticket.wait(10) for ticket in tickets)
    assert engine.most_in_flight == 3


@pytest.mark.parametrize("asked", ["x", "x.safetensors", "x.safetensors [xhash]", "xhash"])
def test_a_checkpoint_goes_by_any_of_its_names(opened: Opening, asked: str) -> None:
    engine = ToyEngine(checkpoints=("other", "x"))
    opened(engine).generate(ask(checkpoint=asked), caller="me")
    assert engine.seen[0].checkpoint == "x"


def test_no_checkpoint_means_the_one_that_is_loaded(opened: Opening) -> None:
    engine = ToyEngine(checkpoints=("first", "x"))
    pool = opened(engine)
    pool.generate(ask(), caller="me")
    assert pool.generate(ask(checkpoint=None), caller="me").generation.checkpoint == "x"


def test_engines_of_one_pool_need_different_names() -> None:
    with pytest.raises(ValueError, match="different names"):
        EnginePool([ToyEngine("same"), ToyEngine("same")])


# Refusing.


@pytest.mark.parametrize(
    ("request_", "error", "available"),
    [
        (ask(checkpoint="nope"), UnknownCheckpoint, ("x", "y")),
        (ask(sampler_name="nope"), UnknownSampler, ("Euler", "DDIM")),
        (ask(scheduler="nope"), UnknownScheduler, ()),
    ],
)
def test_what_no_engine_has_is_refused_at_once_with_what_there_is(
    opened: Opening,
    request_: Txt2Img,
    error: type[UnknownCheckpoint],
    available: tuple[str, ...],
) -> None:
    pool = opened(
        ToyEngine("one"), ToyEngine("two", checkpoints=("x", "y"), samplers=("Euler", "DDIM"))
    )
    with pytest.raises(error) as refused:
        pool.submit(request_, caller="me")
    assert refused.value.available == available


def test_a_kind_that_no_engine_does_is_refused(opened: Opening) -> None:
    picture = Picture(b"png", "image/png", 64, 64)
    request = Img2Img(prompt="a", image=picture, width=64, height=64)
    with pytest.raises(UnsupportedRequest):
        opened(ToyEngine(kinds=("txt2img",))).submit(request, caller="me")


def test_only_an_engine_that_has_checkpoint_and_sampler_is_asked(opened: Opening) -> None:
    plain, able = ToyEngine("plain", samplers=("Euler",)), ToyEngine("able", samplers=("DDIM",))
    pool = opened(plain, able)
    for _ in range(3):
        assert pool.generate(ask(sampler_name="ddim"), caller="me").engine == "able"
    assert plain.seen == []


def test_a_full_queue_refuses_and_says_when_to_come_back(opened: Opening) -> None:
    engine = ToyEngine()
    engine.hold()
    pool = opened(engine, policy=replace(PATIENT, max_queue=2))
    accepted = [pool.submit(ask(), caller=f"c{n}") for n in range(3)]
    with pytest.raises(QueueFull) as refused:
        pool.submit(ask(), caller="one more")
    assert refused.value.retry_after_s >= 1
    assert pool.queue_length() == 2
    engine.release()
    assert all(ticket.wait(10) for ticket in accepted)


def test_one_caller_cannot_fill_the_queue(opened: Opening) -> None:
    engine = ToyEngine()
    engine.hold()
    pool = opened(engine, policy=replace(PATIENT, max_queue_per_caller=1))
    for _ in range(2):
        pool.submit(ask(), caller="heavy")
    with pytest.raises(QueueFull):
        pool.submit(ask(), caller="heavy")
    pool.submit(ask(), caller="light")


def test_without_a_queue_what_can_start_at_once_is_still_served(opened: Opening) -> None:
    pool = opened(ToyEngine(), policy=replace(PATIENT, max_queue=0))
    assert pool.generate(ask(), caller="me").engine == "toy"


def test_nothing_can_be_served_by_an_engine_that_cannot_be_reached(opened: Opening) -> None:
    engine = ToyEngine()
    engine.down = True
    pool = opened(engine)
    assert not pool.can_serve()
    with pytest.raises(NoEngine) as refused:
        pool.submit(ask(), caller="me")
    assert refused.value.retry_after_s >= 1


# Looking.


def test_status_shows_each_engine(opened: Opening) -> None:
    busy, cpu = ToyEngine("busy"), ToyEngine("spare", tier="cpu")
    busy.hold()
    pool = opened(busy, cpu)
    for _ in range(3):
        pool.submit(ask(), caller="me")
    busy.wait_for(1)
    first, second = pool.status()
    assert (first.name, first.tier, first.device, first.state) == ("busy", "gpu", "cuda", "up")
    assert (first.loaded, first.in_flight, first.queue, first.last_error) == ("x", 1, 2, None)
    assert (second.name, second.tier, second.state, second.queue) == ("spare", "cpu", "up", 0)


def test_checkpoints_and_samplers_of_all_engines_are_told_once_each(opened: Opening) -> None:
    pool = opened(
        ToyEngine("one", checkpoints=("x", "y")),
        ToyEngine("two", tier="cpu", checkpoints=("y", "z"), samplers=("Euler", "DDIM")),
    )
    told = {found.name: found for found in pool.checkpoints()}
    assert list(told) == ["x", "y", "z"]
    assert (told["y"].engines, told["y"].loaded_on) == (("one", "two"), ("two",))
    assert told["y"].devices == ("cuda", "cpu")
    assert told["y"].hash == "yhash"
    assert [sampler.name for sampler in pool.samplers()] == ["Euler", "DDIM"]
    assert pool.schedulers() == ()


# Closing.


def test_draining_takes_no_more_and_waits_for_what_there_is(opened: Opening) -> None:
    engine = ToyEngine()
    engine.hold()
    pool = opened(engine)
    tickets = [pool.submit(ask(), caller="me") for _ in range(2)]
    assert not pool.drain(0.01)
    with pytest.raises(NoEngine):
        pool.submit(ask(), caller="me")
    engine.release()
    assert pool.drain(10)
    assert all(ticket.result() for ticket in tickets)


def test_closing_ends_what_waits_and_what_runs(opened: Opening) -> None:
    engine = ToyEngine()
    engine.hold()
    pool = opened(engine)
    tickets = [pool.submit(ask(), caller="me") for _ in range(2)]
    engine.wait_for(1)
    pool.close()
    for ticket in tickets:
        with pytest.raises(NoEngine):
            ticket.result()
    assert engine.in_flight == 0
    assert engine.closed
