"""Threads that write down what becomes of jobs, so that engines need not wait for a disk."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

log = logging.getLogger(__name__)

CLERKS = 4


class Clerks:
    """What is asked for one job is done in the order it was asked."""

    def __init__(self) -> None:
        self._clerks = [
            ThreadPoolExecutor(1, thread_name_prefix=f"clerk-{n}") for n in range(CLERKS)
        ]

    def ask(self, job_id: UUID, task: Callable[[], object]) -> None:
        """Have `task` done, after all that was asked for that job before."""
        try:
            self._clerks[job_id.int % CLERKS].submit(_do, task)
        except RuntimeError:  # the clerks have gone home
            _do(task)

    def close(self) -> None:
        """Return once all that was asked is done."""
        for clerk in self._clerks:
            clerk.shutdown(wait=True)


def _do(task: Callable[[], object]) -> None:
    try:
        task()
    except Exception:
        log.exception("a clerk failed")
