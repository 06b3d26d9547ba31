"""What was made before of the very same request, with the very same weights."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ai.generation import GenerationRequest
from ai.pool import EnginePool
from backend.jobs import fingerprints
from backend.jobs.keeping import as_cached, restored
from backend.jobs.ledger import JobLedger
from backend.jobs.live import GenerationResult
from backend.jobs.records import LedgerUnavailable
from backend.storage.base import ImageStore, StorageError

log = logging.getLogger(__name__)


class ResultCache:
    """Finds a caller's earlier results, each caller's for himself: a hit tells nobody what
    another has asked for. `count` is told of each request that could have been a hit.
    """

    def __init__(
        self,
        pool: EnginePool,
        ledger: JobLedger,
        store: ImageStore,
        count: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._store = store
        self._count = count

    def key_of(self, request: GenerationRequest, caller: str) -> str | None:
        """The same for requests that one result can answer; None when chance is to decide."""
        if request.is_left_to_chance:
            return None
        return fingerprints.asked(request, caller=caller)

    def find(self, request: GenerationRequest, caller: str) -> GenerationResult | None:
        """What was made before and is still there, whole; None too when that cannot be told."""
        try:
            found = self._find(request, caller)
        except (LedgerUnavailable, StorageError) as error:
            log.warning("result not looked up", extra={"error": type(error).__name__})
            found = None
        self._count("hit" if found else "miss")
        return found

    def shared(self) -> None:
        """A request shares what is being made for another."""
        self._count("shared")

    def fingerprint_of(self, request: GenerationRequest, result: GenerationResult) -> str | None:
        """What `find` is to find the result by; None when it is not for others.

        Not when it is less than was asked, when the weights are not known for certain, or when
        an image of it is not kept.
        """
        generation = result.outcome.generation
        name, digest = generation.checkpoint, generation.checkpoint_hash
        kept = all(made.image_id for made in result.images)
        if not (name and digest and kept) or generation.degraded:
            return None
        return fingerprints.made(request, name, digest)

    def _find(self, request: GenerationRequest, caller: str) -> GenerationResult | None:
        checkpoint = self._pool.checkpoint_for(request)
        if checkpoint is None or checkpoint.hash is None:
            return None
        fingerprint = fingerprints.made(request, checkpoint.name, checkpoint.hash)
        job = self._ledger.latest_made(caller, fingerprint)
        if job is None:
            return None
        result = restored(job, self._store)
        return None if any(made.lost for made in result.images) else as_cached(result)
