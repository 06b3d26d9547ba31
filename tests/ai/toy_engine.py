"""A small engine in memory, for tests of the pool: it waits, fails and stops when told."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from ai.engines.base import Checkpoint, Device, EngineFacts, Sampler, Tier
from ai.errors import EngineUnavailable, GenerationCanceled
from ai.generation import (
    KINDS,
    GeneratedImage,
    Generation,
    GenerationRequest,
    Kind,
    Progress,
    Txt2Img,
)
from ai.pool import PoolPolicy

QUICK = PoolPolicy(probe_interval_s=0.02, cooldown_first_s=0.02, cooldown_max_s=0.1)
"""Probes and pauses short enough to wait for."""
PATIENT = PoolPolicy(probe_interval_s=60.0, cooldown_first_s=60.0, cooldown_max_s=600.0)
"""An engine that rests does so for the whole test."""


class ToyEngine:
    """Keeps to `hold`, raises what stands in `failures`, one each; `seen` is what it was asked.

    `down` makes probes fail. `broken` makes every generation fail with what it returns.
    """

    def __init__(
        self,
        name: str = "toy",
        *,
        tier: Tier = "gpu",
        checkpoints: Sequence[str] = ("x",),
        samplers: Sequence[str] = ("Euler",),
        kinds: Sequence[Kind] = KINDS,
        concurrency: int = 1,
    ) -> None:
        self.name = name
        self.tier = tier
        self.device: Device = "cuda" if tier == "gpu" else "cpu"
        self.concurrency = concurrency
        self.down = False
        self.closed = False
        self.failures: deque[Exception] = deque()
        self.broken: Callable[[], Exception] | None = None
        self.seen: list[GenerationRequest] = []
        self.stood_in: list[bool] = []
        self.interrupts = self.progress_asked = self.probes = 0
        self.in_flight = self.most_in_flight = 0
        self.fraction = 0.0
        self._facts = EngineFacts(
            checkpoints=tuple(map(_checkpoint, checkpoints)),
            samplers=tuple(Sampler(sampler) for sampler in samplers),
            loaded=checkpoints[0],
            kinds=frozenset(kinds),
        )
        self._changed = threading.Condition()
        self._held = False
        self._interrupted = False

    def hold(self) -> None:
        """Let generations wait until `release`, or an interrupt."""
        with self._changed:
            self._held = True

    def release(self) -> None:
        with self._changed:
            self._held = False
            self._changed.notify_all()

    def wait_for(self, count: int, timeout_s: float = 10.0) -> None:
        """Return once it was asked for `count` generations. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.seen) >= count, timeout_s):
                raise TimeoutError(f"{self.name} was asked for {len(self.seen)}, not {count}")

    def has_only(self, *checkpoints: str) -> None:
        """From now on it tells of these alone."""
        self._facts = replace(self._facts, checkpoints=tuple(map(_checkpoint, checkpoints)))

    @property
    def prompts(self) -> list[str]:
        return [request.prompt for request in self.seen]

    def describe(self) -> EngineFacts:
        self.probes += 1
        if self.down:
            raise EngineUnavailable(self.name, f"{self.name} cannot be reached")
        return self._facts

    def generate(
        self, request: GenerationRequest, *, timeout_s: float, stand_in: bool = False
    ) -> Generation:
        with self._changed:
            self._interrupted = False
            self.seen.append(request)
            self.stood_in.append(stand_in)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._held or self._interrupted)
            self.in_flight -= 1
            if self._interrupted:
                raise GenerationCanceled("interrupted")
        if self.failures:
            raise self.failures.popleft()
        if self.broken is not None:
            raise self.broken()
        return _generation(request, self._facts)

    def interrupt(self) -> None:
        with self._changed:
            self.interrupts += 1
            self._interrupted = True
            self._changed.notify_all()

    def progress(self, *, preview: bool = False) -> Progress | None:
        self.progress_asked += 1
        return Progress(self.fraction, 1, 4, preview=b"preview" if preview else None)

    def close(self) -> None:
        self.closed = True


class SlowToInterrupt(ToyEngine):
    """Its interrupt ends the generation, then watches for a while whether another begins."""

    WATCHES_S = 0.1

    def __init__(self) -> None:
        super().__init__()
        self.interrupted = threading.Event()
        self.overtaken = False

    def interrupt(self) -> None:
        if self.interrupted.is_set():
            return
        asked = len(self.seen)
        super().interrupt()
        self.release()
        with self._changed:
            self.overtaken = self._changed.wait_for(lambda: len(self.seen) > asked, self.WATCHES_S)
        self.interrupted.set()


def _checkpoint(name: str) -> Checkpoint:
    return Checkpoint(name, f"{name}.safetensors [{name}hash]", f"{name}hash")


def _generation(request: GenerationRequest, facts: EngineFacts) -> Generation:
    image = GeneratedImage(b"png", "image/png", request.width, request.height, request.seed)
    has_it = any(checkpoint.name == request.checkpoint for checkpoint in facts.checkpoints)
    checkpoint = request.checkpoint if has_it else facts.loaded
    degraded = () if has_it or request.checkpoint is None else ("model",)
    return Generation((image,), checkpoint, None, {}, degraded)


def ask(prompt: str = "a cat", checkpoint: str | None = "x", **fields: object) -> Txt2Img:
    return Txt2Img(prompt=prompt, checkpoint=checkpoint, steps=4, **fields)  # type: ignore[arg-type]
