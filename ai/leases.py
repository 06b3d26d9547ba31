"""A lease: one request in flight at one engine, and the only hold others have on it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from ai.engines.base import Engine
from ai.errors import EngineError, EngineLost, EngineTimeout
from ai.generation import Generation, GenerationRequest, Progress

PROGRESS_FRESH_S = 0.5
"""Several askers within this time cost the engine one question."""
INTERRUPT_AGAIN_S = 1.0
"""An interrupt that came before the engine began is lost, so it is repeated until it holds."""


class Lease:
    """One request at one engine, from before it is sent until the engine is free.

    Interrupts and progress of an engine are global to it. They go through here alone, and
    never reach past the end of this request to the next one; where the engine runs several
    at once they would hit others, so there they do nothing.
    """

    def __init__(self, engine: Engine, request: GenerationRequest, *, stand_in: bool) -> None:
        self.engine = engine
        self.began = time.monotonic()
        self._request = request
        self._stand_in = stand_in
        self._alone = engine.concurrency == 1
        self._over = threading.Event()
        self._interrupting = threading.Lock()
        self._asking = threading.Lock()
        self._asked_at: dict[bool, float] = {}
        self._progress = Progress(steps=request.steps)

    def run(self, timeout_s: float) -> Generation:
        """Have the engine make it. Raises what the engine raises."""
        try:
            return self.engine.generate(self._request, timeout_s=timeout_s, stand_in=self._stand_in)
        except (EngineTimeout, EngineLost):
            self._interrupt()
            raise
        finally:
            with self._interrupting:
                self._over.set()

    def stop(self) -> None:
        """Have the engine stop, without waiting for it."""
        if self._alone:
            threading.Thread(target=self._keep_interrupting, name="interrupt", daemon=True).start()

    def _keep_interrupting(self) -> None:
        self._interrupt()
        while not self._over.wait(INTERRUPT_AGAIN_S):
            self._interrupt()

    def _interrupt(self) -> None:
        with self._interrupting:
            if self._alone and not self._over.is_set():
                with contextlib.suppress(EngineError):
                    self.engine.interrupt()

    def progress(self, *, preview: bool, clock: Callable[[], float] = time.monotonic) -> Progress:
        """How far it is; never less than told before."""
        with self._asking:
            asked_at = max(self._asked_at.get(True, 0.0), self._asked_at.get(preview, 0.0))
            if self._alone and not self._over.is_set() and clock() - asked_at >= PROGRESS_FRESH_S:
                with contextlib.suppress(EngineError):
                    self._take(self.engine.progress(preview=preview))
                self._asked_at[preview] = clock()
            return self._progress

    def _take(self, progress: Progress | None) -> None:
        if progress is not None and progress.fraction >= self._progress.fraction:
            self._progress = progress
