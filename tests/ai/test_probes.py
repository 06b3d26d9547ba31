"""Probes come when they are due, unless a request has just told as much."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from ai.engines.base import EngineFacts
from ai.probes import ProbeResult, Probes
from ai.timers import Timer, Timers
from tests.ai.toy_engine import ToyEngine
from tests.running import wait_until


class HandWound(Timers):
    """Goes off when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.set: list[tuple[float, Callable[[], object]]] = []

    def at(self, when: float, callback: Callable[[], object]) -> Timer:
        self.set.append((when, callback))
        return Timer(callback)

    def go_off(self) -> None:
        self.set.pop()[1]()


class Probing:
    """One engine, probed every ten seconds of nobody's clock; `spared_until` is the test's."""

    def __init__(self) -> None:
        self.timers = HandWound()
        self.spared_until = -math.inf
        self.found: list[ProbeResult] = []
        self.told = threading.Condition()
        self.probes = Probes(
            [ToyEngine("toy")], self.report, lambda _: self.spared_until, self.timers
        )

    def report(self, name: str, result: ProbeResult) -> float:
        self.found.append(result)
        return 10.0

    def await_probe(self, count: int) -> None:
        wait_until(lambda: len(self.found) == count and bool(self.timers.set), "it was probed")


@pytest.fixture
def probing() -> Iterator[Probing]:
    probing = Probing()
    probing.probes.start(10.0)
    probing.await_probe(1)
    yield probing
    probing.probes.close()


def test_a_probe_comes_when_it_is_due(probing: Probing) -> None:
    assert [when for when, _ in probing.timers.set] == [10.0]
    probing.timers.go_off()
    probing.await_probe(2)
    assert isinstance(probing.found[1], EngineFacts)


def test_what_is_spared_is_put_off(probing: Probing) -> None:
    probing.spared_until = time.monotonic() + 1000
    probing.timers.go_off()
    assert [when for when, _ in probing.timers.set] == [probing.spared_until]
    assert len(probing.found) == 1


def test_a_probe_that_is_wanted_is_not_put_off(probing: Probing) -> None:
    probing.spared_until = time.monotonic() + 1000
    probing.probes.soon("toy", 3.0)
    assert probing.timers.set[-1][0] == 3.0
    probing.timers.go_off()
    probing.await_probe(2)
