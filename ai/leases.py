"""A lease: one request in flight at one engine, and the only hold others have on it."""

from __future__ import annotations

import contextlib
import math
import threading
import time

from ai.correlation import NOBODY, Correlation, correlated
from ai.engines.base import Engine, WebUILike
from ai.errors import (
    EngineError,
    EngineLost,
    EngineTimeout,
    GenerationCanceled,
    UnsupportedRequest,
)
from ai.generation import Generation, GenerationRequest, Progress, Work

PROGRESS_FRESH_S = 0.5
"""Several askers within this time cost the engine one question."""
_INTERRUPT_AGAIN_S = (0.05, 0.1, 0.2, 0.5)
"""An interrupt that came before the engine began is lost, so it is repeated: after these
pauses, and the last again and again, until the engine lets go."""


class Lease:
    """One request at one engine, from before it is sent until the engine is free.

    Interrupts and progress of an engine are global to it. They go through here alone, and
    never reach past the end of this request to the next one; where the engine runs several
    at once they would speak of others, so there they do nothing.
    """

    def __init__(
        self,
        engine: Engine,
        request: Work,
        correlation: Correlation = NOBODY,
        *,
        stand_in: bool,
    ) -> None:
        self.engine = engine
        self.began = time.monotonic()
        self._request = request
        self._stand_in = stand_in
        self._correlation = correlation
        self._alone = engine.concurrency == 1
        self._stopped = threading.Event()
        self._over = threading.Event()
        self._interrupting = threading.Lock()
        self._asking = threading.Lock()
        self._asked_at = -math.inf
        self._asked_for_preview = False
        self._progress = Progress(steps=request.effective_steps)

    def run(self, timeout_s: float) -> Generation:
        """Have the engine make it. Raises what the engine raises."""
        try:
            if self._stopped.is_set():
                raise GenerationCanceled("The generation was called off.")
            with correlated(self._correlation):
                return self._done(timeout_s)
        except (EngineTimeout, EngineLost):
            self._interrupt()
            raise
        finally:
            with self._interrupting:
                self._over.set()

    def _done(self, timeout_s: float) -> Generation:
        work, engine = self._request, self.engine
        if isinstance(work, GenerationRequest):
            return engine.generate(work, timeout_s=timeout_s, stand_in=self._stand_in)
        if isinstance(engine, WebUILike):
            return engine.use(work, timeout_s=timeout_s)
        raise UnsupportedRequest("image", f"{engine.name} does no {work.kind}")

    def stop(self) -> None:
        """Have the engine stop, without waiting for it."""
        self._stopped.set()
        if self._alone:
            threading.Thread(target=self._keep_interrupting, name="interrupt", daemon=True).start()

    def _keep_interrupting(self) -> None:
        self._interrupt()
        pauses = iter(_INTERRUPT_AGAIN_S)
        while not self._over.wait(next(pauses, _INTERRUPT_AGAIN_S[-1])):
            self._interrupt()

    def _interrupt(self) -> None:
        """Under the lock that `run` ends with: the next request cannot begin meanwhile."""
        with self._interrupting:
            if self._alone and not self._over.is_set():
                with contextlib.suppress(EngineError):
                    self.engine.interrupt()

    def progress(self, *, preview: bool) -> Progress:
        """How far it is, never less than told before."""
        with self._asking:
            fresh = time.monotonic() - self._asked_at < PROGRESS_FRESH_S
            answered = fresh and (self._asked_for_preview or not preview)
            if self._alone and not answered and not self._over.is_set():
                self._ask(preview)
            return self._progress

    def _ask(self, preview: bool) -> None:
        with contextlib.suppress(EngineError):
            found = self.engine.progress(preview=preview)
            if found is not None and found.fraction >= self._progress.fraction:
                self._progress = found
        self._asked_at = time.monotonic()
        self._asked_for_preview = preview
