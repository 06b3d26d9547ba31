"""The pool when upstreams misbehave on the wire."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from ai.errors import NoEngine
from tests.ai.conftest import Opening
from tests.ai.pool_webuis import POLICY, RESTFUL, ask, engine, engines, status_of
from tests.fake_webui import TINY_A, TINY_B, FakeWebUI, Fault
from tests.running import wait_until

# Faults on the wire.


@pytest.mark.parametrize(
    "fault",
    [
        Fault.OOM,
        Fault.NAN,
        Fault.CRASH,
        Fault.STARTING,
        Fault.DROP_AT_WORK,
        Fault.TRUNCATED_PNG,
        Fault.WRONG_SIZE,
        Fault.WRONG_CHECKPOINT,
        Fault.WRONG_SAMPLER,
        Fault.TOO_FEW_IMAGES,
    ],
)
def test_a_fault_of_one_upstream_is_made_good_by_another(
    webuis: ExitStack, opened: Opening, fault: Fault
) -> None:
    bad = webuis.enter_context(FakeWebUI(checkpoints=(TINY_A, TINY_B)))
    good = webuis.enter_context(FakeWebUI(checkpoints=(TINY_B, TINY_A)))
    pool = opened(engine(bad, "bad"), engine(good, "good"), policy=RESTFUL)
    bad.inject(fault)
    outcome = pool.generate(ask("a cat"), caller="me")
    assert (outcome.engine, outcome.attempts) == ("good", 2)
    seeds = [fake.bodies("txt2img")[0]["seed"] for fake in (bad, good)]
    assert seeds[0] == seeds[1] == outcome.generation.images[0].seed


def test_a_wrong_checkpoint_is_never_handed_out_and_not_asked_for_there_again(
    webuis: ExitStack, opened: Opening
) -> None:
    bad = webuis.enter_context(FakeWebUI(checkpoints=(TINY_A, TINY_B)))
    good = webuis.enter_context(FakeWebUI(checkpoints=(TINY_B, TINY_A)))
    pool = opened(engine(bad, "bad"), engine(good, "good"), policy=RESTFUL)
    bad.inject(*[Fault.WRONG_CHECKPOINT] * 5)
    for _ in range(3):
        assert pool.generate(ask("a cat"), caller="me").generation.checkpoint == "tinyA"
    assert len(bad.bodies("txt2img")) == 1
    assert status_of(pool, "bad").state == "up"


def test_wrong_credentials_show_as_the_engines_last_error(
    webuis: ExitStack, opened: Opening
) -> None:
    fake = webuis.enter_context(FakeWebUI(auth="user:secret"))
    pool = opened(*engines(fake), policy=POLICY)
    status = status_of(pool, "webui-0")
    assert status.state == "down"
    assert status.last_error is not None
    assert "secret" not in status.last_error
    with pytest.raises(NoEngine):
        pool.submit(ask("a cat"), caller="me")


def test_one_that_is_still_starting_is_used_once_it_has_started(
    webuis: ExitStack, opened: Opening
) -> None:
    fake = webuis.enter_context(FakeWebUI(starting=True))
    pool = opened(*engines(fake), policy=POLICY)
    assert not pool.can_serve()
    fake.starting = False
    wait_until(pool.can_serve, "it is up")
    assert pool.generate(ask("a cat"), caller="me").engine == "webui-0"
