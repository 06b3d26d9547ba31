"""Probing: asks each engine how it is, off the road of requests, at the times it is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from ai.engines.base import Engine, EngineFacts
from ai.errors import EngineError, WrongResult
from ai.timers import Timer, Timers

log = logging.getLogger(__name__)

PROBERS = 16
"""At most so many probes at once."""

ProbeResult = EngineFacts | EngineError
Report = Callable[[str, ProbeResult], float]
"""Takes in what a probe of the named engine found; returns when to probe it next."""


class Probes:
    """One probe at a time for each engine, a few engines at once.

    Each engine is probed again at the time `report` returns; `soon` brings that forward.
    """

    def __init__(self, engines: Sequence[Engine], report: Report, timers: Timers) -> None:
        self._engines = {engine.name: engine for engine in engines}
        self._report = report
        self._timers = timers
        self._next: dict[str, Timer] = {}
        self._workers = ThreadPoolExecutor(
            max_workers=min(PROBERS, max(1, len(engines))), thread_name_prefix="pool-probe"
        )

    def start(self, wait_s: float) -> None:
        """Probe all; returns when all have answered or `wait_s` is over."""
        first: list[Future[None]] = [
            self._workers.submit(self._probe, name) for name in self._engines
        ]
        wait(first, timeout=wait_s)

    def soon(self, engine: str, when: float) -> None:
        """Probe `engine` at `when` rather than as planned."""
        planned = self._next.pop(engine, None)
        if planned is not None:
            planned.cancel()
            self._plan(engine, when)

    def close(self) -> None:
        for timer in list(self._next.values()):
            timer.cancel()
        self._workers.shutdown(cancel_futures=True)

    def _plan(self, name: str, when: float) -> None:
        self._next[name] = self._timers.at(when, lambda: self._dispatch(name))

    def _dispatch(self, name: str) -> None:
        self._next.pop(name, None)
        try:
            self._workers.submit(self._probe, name)
        except RuntimeError:
            log.debug("probing has ended")

    def _probe(self, name: str) -> None:
        self._plan(name, self._report(name, self._ask(self._engines[name])))

    def _ask(self, engine: Engine) -> ProbeResult:
        try:
            return engine.describe()
        except EngineError as error:
            return error
        except Exception:
            log.exception("engine probe crashed", extra={"engine": engine.name})
            return WrongResult(engine.name, f"{engine.name} could not be probed.")
