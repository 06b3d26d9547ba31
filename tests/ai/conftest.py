"""Pools for tests, closed when the test ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol

import pytest

from ai.engines.base import Engine
from ai.pool import EnginePool, PoolEvents, PoolPolicy
from tests.ai.toy_engine import PATIENT


class Opening(Protocol):
    """Opens a pool over engines, started."""

    def __call__(
        self, *engines: Engine, policy: PoolPolicy = ..., events: PoolEvents | None = ...
    ) -> EnginePool: ...


@pytest.fixture
def opened() -> Iterator[Opening]:
    pools: list[EnginePool] = []

    def open_pool(
        *engines: Engine, policy: PoolPolicy = PATIENT, events: PoolEvents | None = None
    ) -> EnginePool:
        pool = EnginePool(engines, policy, events=events)
        pools.append(pool)
        pool.start()
        return pool

    yield open_pool
    for pool in pools:
        pool.close()


@pytest.fixture
def webuis() -> Iterator[ExitStack]:
    """Stops the fakes that entered it."""
    with ExitStack() as stack:
        yield stack
