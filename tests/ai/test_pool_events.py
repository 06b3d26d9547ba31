"""What the pool tells a listener and the log."""

from __future__ import annotations

import pytest

from ai.correlation import Correlation
from ai.errors import EngineError, EngineOutOfMemory, GenerationError
from ai.generation import Work
from ai.pool import Outcome
from tests.ai.conftest import Opening
from tests.ai.toy_engine import ToyEngine, ask


class Listener:
    """Keeps what a pool tells."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def engine_state_changed(self, engine: str, old: str, new: str, reason: str) -> None:
        self.told.append((engine, old, new, reason))

    def switched(self, engine: str, checkpoint: str) -> None:
        self.told.append(("switched", engine, checkpoint))

    def retried(self, engine: str, error: EngineError) -> None:
        self.told.append(("retried", engine, type(error).__name__))

    def failed(self, engine: str, error: EngineError) -> None:
        """Not of interest here."""

    def ended(
        self,
        request: Work,
        result: Outcome | GenerationError,
        queue_s: float,
        correlation: Correlation,
    ) -> None:
        """Not of interest here."""

    def fell_back(self, engine: str) -> None:
        self.told.append(("fell back", engine))


def test_a_listener_hears_of_states_switches_and_retries(opened: Opening) -> None:
    listener = Listener()
    bad, good = ToyEngine("bad"), ToyEngine("good", checkpoints=("other", "x"))
    bad.failures.append(EngineOutOfMemory("bad", "out of memory"))
    pool = opened(bad, good, events=listener)
    pool.generate(ask(), caller="me")
    pool.close()
    assert ("bad", "unknown", "up", "") in listener.told
    assert listener.told[2:] == [
        ("bad", "up", "cooling", "out of memory"),
        ("retried", "bad", "EngineOutOfMemory"),
        ("switched", "good", "x"),
    ]


def test_changes_of_state_are_logged(opened: Opening, caplog: pytest.LogCaptureFixture) -> None:
    engine = ToyEngine("bad")
    engine.failures.append(EngineOutOfMemory("bad", "out of memory"))
    with caplog.at_level("INFO", "ai"):
        pool = opened(engine)
        with pytest.raises(EngineOutOfMemory):
            pool.generate(ask(), caller="me")
    assert [record.getMessage() for record in caplog.records] == ["engine up", "engine cooling"]


def test_a_listener_that_fails_does_no_harm(
    opened: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener()
    pool = opened(ToyEngine("one", checkpoints=("x", "y")), events=listener)
    monkeypatch.setattr(listener, "told", None)
    assert pool.generate(ask(checkpoint="y"), caller="me").engine == "one"
    assert pool.generate(ask(checkpoint="x"), caller="me").engine == "one"


def test_a_stand_in_is_told_of(opened: Opening) -> None:
    listener = Listener()
    gpu = ToyEngine("gpu")
    gpu.down = True
    opened(gpu, ToyEngine("cpu", tier="cpu"), events=listener).generate(ask(), caller="me")
    assert ("fell back", "cpu") in listener.told
