"""The use case: make a job of a request and wait for it. No web in here."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

from structlog.contextvars import bind_contextvars

from ai.errors import GenerationCanceled
from ai.generation import GenerationRequest
from backend.errors import StillRunning
from backend.jobs.live import GenerationResult
from backend.jobs.records import LedgerUnavailable, Terms
from backend.jobs.runners import Opened, Runner
from backend.seats import Seats
from backend.storage.base import StorageError, StorageFull

log = logging.getLogger(__name__)

CALLER_CHECK_S = 0.5
"""How often a waiting request looks whether its caller is still there."""


@dataclass(frozen=True, slots=True)
class ImageGenerator(Generic[Opened]):
    """Makes and keeps images. `deadline_s` bounds a request from its arrival to its answer.

    What the request's log line is to say of the job is told here; with `log_prompts` also what
    was to be painted.
    """

    runner: Runner[Opened]
    seats: Seats
    deadline_s: float
    log_prompts: bool = False

    def start(self, request: GenerationRequest, *, caller: str, terms: Terms) -> Opened:
        """Queue `request` as a job that nobody waits for. Raises what `Runner.accept` does."""
        live = self.runner.accept(request, caller=caller, detached=True, terms=terms)
        self._note(live, request)
        return live

    def begin(self, request: GenerationRequest, *, caller: str, terms: Terms) -> Opened:
        """Queue `request` for a caller who watches it: `cancel` it when he leaves.

        Raises what `Runner.accept` does.
        """
        live = self.runner.accept(request, caller=caller, detached=False, terms=terms)
        self._note(live, request)
        return live

    def give_up(self, live: Opened) -> StillRunning:
        """Nobody waits for it any more, and it goes on; what to tell who has waited."""
        live.leave()
        try:
            self.runner.detach(live)
        except (StorageError, LedgerUnavailable) as error:
            log.warning("job not detached", extra={"error": str(error)})
        return StillRunning(live.id, self.deadline_s)

    def generate(
        self,
        request: GenerationRequest,
        *,
        caller: str,
        terms: Terms,
        caller_left: Callable[[], bool] = lambda: False,
        url_only: bool = False,
    ) -> GenerationResult:
        """Queue `request` for `caller` and wait for its images.

        A caller who has left (`caller_left`) is taken out of the queue, or his running
        generation interrupted. With `url_only` an image that cannot be stored is an error,
        since nothing else of it would be answered.

        Raises the errors of `ai.errors`; TooManyWaiting; StillRunning; StorageFull when
        `url_only`; KeyTaken when another request has the key that `terms` claims.
        """
        with self.seats.taken():
            live = self.runner.accept(
                request, caller=caller, detached=False, terms=terms, attended=True
            )
            self._note(live, request)
            try:
                self._wait(live, caller_left)
            finally:
                live.leave()
        try:
            result = live.end()
        finally:
            bind_contextvars(**live.made_by())
        if url_only and any(made.image_id is None for made in result.images):
            self.runner.release_key(live)
            raise StorageFull(result.warnings[0])
        return result

    def _note(self, live: Opened, request: GenerationRequest) -> None:
        bind_contextvars(job_id=str(live.id))
        if self.log_prompts:
            bind_contextvars(prompt=request.prompt)

    def _wait(self, live: Opened, caller_left: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self.deadline_s
        while not live.over.is_set():
            if live.wait(CALLER_CHECK_S):
                continue
            if caller_left():
                live.leave()
                self.runner.cancel(live)
                raise GenerationCanceled("The caller went away.")
            if time.monotonic() > deadline:
                raise self.give_up(live)
