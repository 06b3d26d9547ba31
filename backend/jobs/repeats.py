"""Requests that are the same: made once for all who ask at a time, and found again later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from ai.generation import GenerationRequest
from backend.jobs.live import GenerationResult, LiveJob
from backend.jobs.results import ResultCache

LOCKS = 64


@dataclass(eq=False, slots=True)
class _Group:
    """Jobs that have the ticket which the pool gave for `lead`, though that may have left."""

    lead: LiveJob
    jobs: list[LiveJob]


class Repeats:
    """Live jobs by what they ask for. Without `results` every job is made on its own."""

    def __init__(self, results: ResultCache | None = None) -> None:
        self._results = results
        self._groups: dict[str, _Group] = {}
        self._locks = [threading.Lock() for _ in range(LOCKS)]

    def key_of(self, request: GenerationRequest, caller: str) -> str | None:
        """The same for requests that one result can answer; None for those on their own."""
        return self._results.key_of(request, caller) if self._results else None

    def fingerprint_of(self, live: LiveJob, result: GenerationResult) -> str | None:
        """What the result is to be found by later, if it may be."""
        return self._results.fingerprint_of(live.request, result) if self._results else None

    def begin(self, live: LiveJob, submit: Callable[[], None]) -> GenerationResult | None:
        """What was made of it before; else `submit` it, or join those who wait for the same.

        Nobody else of its key decides meanwhile, so that none falls between two: a group is
        there from before the pool has taken its job until after the result can be found.
        Raises what `submit` does.
        """
        key = live.sharing_key
        if key is None or self._results is None:
            submit()
            return None
        with self._deciding(key):
            group = self._groups.get(key)
            if group is not None:
                self._join(live, group)
                self._results.shared()
                return None
            found = self._results.find(live.request, live.job.caller)
            if found is None:
                submit()
                if live.ticket is not None:
                    self._groups[key] = _Group(live, [live])
            return found

    def group_of(self, lead: LiveJob) -> list[LiveJob]:
        """Those who wait for what the pool makes on behalf of `lead`, at least one."""
        key = lead.sharing_key
        if key is None:
            return [lead]
        with self._deciding(key):
            group = self._groups.get(key)
            return list(group.jobs) if group and group.lead is lead else [lead]

    def close(self, lead: LiveJob) -> list[LiveJob]:
        """Let nobody join that group any more; who was in it."""
        key = lead.sharing_key
        if key is None:
            return [lead]
        with self._deciding(key):
            group = self._groups.get(key)
            if group is None or group.lead is not lead:
                return [lead]
            return self._groups.pop(key).jobs

    def leave(self, live: LiveJob) -> bool:
        """Let the work go on without `live`; False where nobody else waits for it.

        Then nobody joins it any more either.
        """
        key = live.sharing_key
        if key is None:
            return False
        with self._deciding(key):
            group = self._groups.get(key)
            if group is None or live not in group.jobs:
                return False
            if group.jobs == [live]:
                del self._groups[key]
                return False
            group.jobs.remove(live)
            return True

    def _join(self, live: LiveJob, group: _Group) -> None:
        with live.submitting:
            if not live.canceled:
                live.ticket = group.jobs[0].ticket
                group.jobs.append(live)

    def _deciding(self, key: str) -> threading.Lock:
        return self._locks[int(key[:8], 16) % LOCKS]
