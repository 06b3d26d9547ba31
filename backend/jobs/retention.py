"""Forgets, on a thread of its own, jobs and keys whose time is over."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta

from backend.jobs.idempotency import KEY_TTL, IdempotencyKeys
from backend.jobs.ledger import JobLedger
from backend.jobs.records import LedgerUnavailable

log = logging.getLogger(__name__)

SWEEP_EVERY_S = 300.0
SWEEP_SOONEST_S = 0.5
LONGEST_TTL = timedelta(days=36_500)
"""A time longer than the calendar has is as good as this one."""
CLOSE_TIMEOUT_S = 5.0


class Retention:
    """Forgets a job `job_ttl_s` after its end, and a key a day after it came.

    It looks at the start and every five minutes, or twice in a shorter `job_ttl_s`.
    """

    def __init__(self, ledger: JobLedger, keys: IdempotencyKeys, *, job_ttl_s: float) -> None:
        self._ledger = ledger
        self._keys = keys
        self._job_ttl = timedelta(seconds=min(job_ttl_s, LONGEST_TTL.total_seconds()))
        self._every_s = max(SWEEP_SOONEST_S, min(SWEEP_EVERY_S, job_ttl_s / 2))
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_TIMEOUT_S)

    def sweep(self) -> None:
        """Forget now what is to be forgotten. Raises LedgerUnavailable."""
        now = datetime.now(UTC)
        keys = self._keys.forget_before(now - KEY_TTL)
        jobs = self._ledger.forget_ended_before(now - self._job_ttl)
        if keys or jobs:
            log.info("jobs forgotten", extra={"jobs": jobs, "keys": keys})

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self.sweep()
            except LedgerUnavailable:
                log.warning("jobs not forgotten: the database is out of reach")
            except Exception:
                log.exception("jobs not forgotten")
            self._closing.wait(self._every_s)
