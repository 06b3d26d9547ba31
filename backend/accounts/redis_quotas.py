"""Quotas in Redis, shared exactly by any number of processes: one script, one round trip."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from redis import Redis

from backend.accounts.quotas import LEASE_S, WINDOWS, Allowance, Refusal, Spent, Standing

SCRIPT = Path(__file__).with_name("quotas.lua")


class RedisQuotas:
    """As `Quotas` says; every method raises RedisError when Redis does not answer.

    Time is what Redis says, so that the clocks of processes need not agree, unless there is a
    `clock`.
    """

    def __init__(self, redis: Redis, clock: Callable[[], float] | None = None) -> None:
        self._script = redis.register_script(SCRIPT.read_text(encoding="utf-8"))
        self._clock = clock

    def admit(self, caller: str, job: str, work: int, allowance: Allowance) -> Refusal | None:
        budgets = [allowance.budgets.get(name) for name in WINDOWS]
        limits = ["" if limit is None else limit for limit in (allowance.max_jobs, *budgets)]
        refused = self._run(caller, "admit", job, work, *limits)
        if not refused:
            return None
        by, wait_ms = refused
        return Refusal(by.decode(), None if wait_ms < 0 else wait_ms / 1000)

    def end(self, caller: str, job: str, *, refund: bool) -> None:
        self._run(caller, "end", job, int(refund))

    def hold(self, jobs: Sequence[tuple[str, str]]) -> None:
        for caller, own in groupby(sorted(jobs), key=itemgetter(0)):
            self._run(caller, "hold", *(job for _, job in own))

    def standing(self, caller: str) -> Standing:
        jobs, *rest = self._run(caller, "standing")
        spent = zip(rest[::2], rest[1::2], strict=True)
        return Standing(
            jobs,
            {
                name: Spent(work, left_ms / 1000)
                for name, (work, left_ms) in zip(WINDOWS, spent, strict=True)
            },
        )

    def _run(self, caller: str, action: str, *arguments: str | int) -> Any:
        # In braces: what a cluster keeps on one node.
        stem = f"sluice:work:{{{caller}}}"
        keys = [f"{stem}:jobs"]
        for name in WINDOWS:
            keys += [f"{stem}:{name}", f"{stem}:{name}:amounts"]
        now_ms = "" if self._clock is None else math.floor(self._clock() * 1000)
        head = [action, now_ms, int(LEASE_S * 1000)]
        return self._script(keys=keys, args=[*head, *arguments])
