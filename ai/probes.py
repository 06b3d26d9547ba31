"""Probing: asks each engine how it is, off the road of requests, at the times it is told."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

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

    Each engine is probed again at the time `report` returns, or when that has come at the time
    until which it is `spared`; `soon` brings that forward.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        report: Report,
        spared: Callable[[str], float],
        timers: Timers,
    ) -> None:
        self._engines = {engine.name: engine for engine in engines}
        self._report = report
        self._spared = spared
        self._timers = timers
        self._planning = threading.Lock()
        self._next: dict[str, Timer] = {}
        self._wanted: dict[str, float] = {}
        self._workers = ThreadPoolExecutor(
            max_workers=min(PROBERS, max(1, len(engines))), thread_name_prefix="pool-probe"
        )

    def start(self, wait_s: float) -> None:
        """Probe all; returns when all have answered or `wait_s` is over."""
        wait([self._workers.submit(self._probe, name) for name in self._engines], timeout=wait_s)

    def soon(self, engine: str, when: float) -> None:
        """Probe `engine` at `when`, if it was to be later; a probe under way counts first."""
        with self._planning:
            planned = self._next.pop(engine, None)
            if planned is None:
                self._wanted[engine] = when
            else:
                planned.cancel()
                self._plan(engine, when, wanted=True)

    def close(self) -> None:
        """Begin no more probes; returns when those under way have ended."""
        self._workers.shutdown(cancel_futures=True)

    def _plan(self, name: str, when: float, *, wanted: bool) -> None:
        def come() -> None:
            self._dispatch(name, wanted=wanted)

        self._next[name] = self._timers.at(when, come)

    def _dispatch(self, name: str, *, wanted: bool) -> None:
        with self._planning:
            self._next.pop(name, None)
            spared_until = self._spared(name)
            if not wanted and spared_until > time.monotonic():
                self._plan(name, spared_until, wanted=False)
                return
        with contextlib.suppress(RuntimeError):
            self._workers.submit(self._probe, name)

    def _probe(self, name: str) -> None:
        when = self._report(name, self._ask(self._engines[name]))
        with self._planning:
            wanted = name in self._wanted
            self._plan(name, min(when, self._wanted.pop(name, when)), wanted=wanted)

    def _ask(self, engine: Engine) -> ProbeResult:
        try:
            return engine.describe()
        except EngineError as error:
            return error
        except Exception:
            log.exception("engine probe crashed", extra={"engine": engine.name})
            return WrongResult(engine.name, f"{engine.name} could not be probed.")
