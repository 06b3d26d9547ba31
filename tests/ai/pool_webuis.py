"""Fake WebUIs behind the real engine, for tests of the pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ai.engines.a1111.engine import A1111Engine
from ai.generation import Txt2Img
from ai.pool import EnginePool, EngineStatus, PoolPolicy, Ticket
from tests.fake_webui import FakeWebUI

POLICY = PoolPolicy(
    max_queue=1000,
    max_queue_per_caller=1000,
    probe_interval_s=0.05,
    cooldown_first_s=0.05,
    cooldown_max_s=0.2,
)
RESTFUL = replace(POLICY, cooldown_first_s=60.0, cooldown_max_s=60.0)
STEPS = 4


def engine(fake: FakeWebUI, name: str) -> A1111Engine:
    return A1111Engine(fake.url, name=name, tier="gpu", device="cuda", connect_timeout_s=1.0)


def engines(*fakes: FakeWebUI) -> list[A1111Engine]:
    return [engine(fake, f"webui-{n}") for n, fake in enumerate(fakes)]


def ask(prompt: str, checkpoint: str | None = "tinyA") -> Txt2Img:
    return Txt2Img(prompt=prompt, checkpoint=checkpoint, steps=STEPS, width=64, height=64)


def all_end(tickets: Sequence[Ticket]) -> None:
    for ticket in tickets:
        assert ticket.wait(30)


def made(fake: FakeWebUI) -> list[str]:
    """The prompts of the pictures a fake has handed out."""
    return [
        seen.body["prompt"]
        for seen in list(fake.seen)
        if seen.path.endswith("2img") and seen.status == 200
    ]


def status_of(pool: EnginePool, name: str) -> EngineStatus:
    return next(status for status in pool.status() if status.name == name)
