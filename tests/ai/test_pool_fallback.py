"""The CPU tier: when it serves, what it may degrade, and when nobody can serve."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ai.errors import EngineOutOfMemory, NoEngine, UnknownCheckpoint, UnknownSampler
from ai.pool import EnginePool
from tests.ai.conftest import Opening
from tests.ai.toy_engine import PATIENT, QUICK, ToyEngine, ask
from tests.running import wait_until


def tiers() -> tuple[ToyEngine, ToyEngine]:
    return ToyEngine("gpu", samplers=("Euler", "DPM++ 2M")), ToyEngine(
        "cpu", tier="cpu", checkpoints=("small",)
    )


def break_down(pool: EnginePool, engine: ToyEngine) -> None:
    """Have `engine` fail in a way that rests it."""
    engine.failures.append(EngineOutOfMemory(engine.name, "out of memory"))
    pool.generate(ask(), caller="nobody")


def test_a_cpu_does_not_help_while_the_gpu_is_merely_busy(opened: Opening) -> None:
    gpu, cpu = tiers()
    gpu.hold()
    pool = opened(gpu, cpu)
    tickets = [pool.submit(ask(), caller="me") for _ in range(5)]
    gpu.wait_for(1)
    gpu.release()
    assert all(ticket.wait(10) for ticket in tickets)
    assert cpu.seen == []


def test_a_cpu_stands_in_for_a_gpu_that_failed(opened: Opening) -> None:
    gpu, cpu = tiers()
    gpu.failures.append(EngineOutOfMemory("gpu", "out of memory"))
    outcome = opened(gpu, cpu).generate(ask(sampler_name="DPM++ 2M"), caller="me")
    assert (outcome.engine, outcome.device, outcome.attempts) == ("cpu", "cpu", 2)
    assert outcome.fallback
    assert outcome.generation.degraded == ("model",)
    assert cpu.stood_in == [True]


def test_a_cpu_that_has_the_checkpoint_is_preferred_to_one_that_degrades(opened: Opening) -> None:
    gpu, small = tiers()
    exact = ToyEngine("exact", tier="cpu", checkpoints=("other", "x"))
    other = ToyEngine("other", tier="cpu", checkpoints=("small",))
    pool = opened(gpu, small, exact, other)
    break_down(pool, gpu)
    assert pool.generate(ask(), caller="me").engine == "exact"
    assert small.seen == other.seen == []


def test_the_gpu_serves_again_once_it_is_back(opened: Opening) -> None:
    gpu, cpu = tiers()
    pool = opened(gpu, cpu, policy=QUICK)
    break_down(pool, gpu)
    wait_until(lambda: pool.status()[0].state == "up", "the GPU is back")
    outcome = pool.generate(ask(), caller="me")
    assert (outcome.engine, outcome.fallback) == ("gpu", False)


def test_what_waits_for_a_gpu_that_fails_goes_to_the_cpu(opened: Opening) -> None:
    gpu, cpu = tiers()
    gpu.hold()
    pool = opened(gpu, cpu)
    tickets = [pool.submit(ask(), caller="me") for _ in range(3)]
    gpu.wait_for(1)
    gpu.failures.append(EngineOutOfMemory("gpu", "out of memory"))
    gpu.release()
    assert all(ticket.wait(10) for ticket in tickets)
    assert [ticket.result().engine for ticket in tickets] == ["cpu", "cpu", "cpu"]


def test_without_fallback_the_cpu_takes_no_part_beside_a_gpu(opened: Opening) -> None:
    gpu, cpu = tiers()
    pool = opened(gpu, cpu, policy=replace(PATIENT, cpu_fallback="off"))
    gpu.failures.append(EngineOutOfMemory("gpu", "out of memory"))
    with pytest.raises(EngineOutOfMemory):
        pool.generate(ask(), caller="me")
    with pytest.raises(UnknownCheckpoint):
        pool.submit(ask(checkpoint="small"), caller="me")
    assert [found.name for found in pool.checkpoints()] == ["x"]


def test_a_checkpoint_that_only_the_cpu_has_is_no_fallback(opened: Opening) -> None:
    outcome = opened(*tiers()).generate(ask(checkpoint="small"), caller="me")
    assert (outcome.engine, outcome.fallback) == ("cpu", False)


def test_a_cpu_alone_is_no_stand_in_and_takes_names_at_their_word(opened: Opening) -> None:
    cpu = ToyEngine("cpu", tier="cpu", checkpoints=("small",))
    pool = opened(cpu, policy=replace(PATIENT, cpu_fallback="off"))
    outcome = pool.generate(ask(checkpoint="small"), caller="me")
    assert (outcome.engine, outcome.fallback) == ("cpu", False)
    assert cpu.stood_in == [False]
    with pytest.raises(UnknownCheckpoint):
        pool.submit(ask(checkpoint="x"), caller="me")
    with pytest.raises(UnknownSampler):
        pool.submit(ask(checkpoint="small", sampler_name="DPM++ 2M"), caller="me")


def test_a_name_nobody_has_is_not_degraded_away_while_the_gpu_can_tell(opened: Opening) -> None:
    gpu, cpu = tiers()
    pool = opened(gpu, cpu)
    break_down(pool, gpu)
    with pytest.raises(UnknownCheckpoint) as refused:
        pool.submit(ask(checkpoint="typo"), caller="me")
    assert refused.value.available == ("x", "small")


def test_a_cpu_stands_in_for_a_gpu_never_reached_whatever_the_name(opened: Opening) -> None:
    gpu, cpu = tiers()
    gpu.down = True
    pool = opened(gpu, cpu)
    assert pool.can_serve()
    outcome = pool.generate(ask(checkpoint="perhaps there"), caller="me")
    assert (outcome.engine, outcome.fallback) == ("cpu", True)


def test_names_are_not_called_unknown_while_an_engine_was_never_reached(opened: Opening) -> None:
    there, away = ToyEngine("there"), ToyEngine("away", checkpoints=("y",))
    away.down = True
    pool = opened(there, away, policy=QUICK)
    with pytest.raises(NoEngine):
        pool.submit(ask(checkpoint="y"), caller="me")
    away.down = False
    wait_until(lambda: pool.status()[1].state == "up", "it is reached")
    assert pool.generate(ask(checkpoint="y"), caller="me").engine == "away"


def test_overflow_relieves_a_queue_longer_than_the_cpu_is_slow(opened: Opening) -> None:
    gpu, cpu = ToyEngine("gpu"), ToyEngine("cpu", tier="cpu")
    gpu.hold()
    pool = opened(gpu, cpu, policy=replace(PATIENT, cpu_fallback="overflow"))
    tickets = [pool.submit(ask(), caller="me") for _ in range(8)]
    wait_until(lambda: len(cpu.seen) > 0, "the CPU helps")
    gpu.release()
    assert all(ticket.wait(10) for ticket in tickets)
    spilt = next(ticket.result() for ticket in tickets if ticket.result().engine == "cpu")
    assert spilt.fallback
    assert not any(cpu.stood_in)


def test_overflow_never_costs_the_checkpoint(opened: Opening) -> None:
    gpu, cpu = tiers()
    gpu.hold()
    pool = opened(gpu, cpu, policy=replace(PATIENT, cpu_fallback="overflow"))
    tickets = [pool.submit(ask(), caller="me") for _ in range(8)]
    gpu.wait_for(1)
    gpu.release()
    assert all(ticket.wait(10) for ticket in tickets)
    assert cpu.seen == []
