"""Quotas in Redis, and in this process's memory while Redis is away."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from backend.accounts.quotas import Allowance, Quotas, Refusal, Standing
from backend.redis_watch import Answer, RedisWatch


class GuardedQuotas:
    """As `Quotas` says. What is known in one place is not known in the other.

    So a job that Redis could not be told the end of holds its place there until its lease is
    over, and what is to be refunded meanwhile is not.
    """

    def __init__(self, shared: Quotas, own: Quotas, watch: RedisWatch) -> None:
        self._shared = shared
        self._own = own
        self._watch = watch

    def admit(self, caller: str, job: str, work: int, allowance: Allowance) -> Refusal | None:
        return self._either(lambda quotas: quotas.admit(caller, job, work, allowance))

    def end(self, caller: str, job: str, *, refund: bool) -> None:
        self._own.end(caller, job, refund=refund)
        self._either(lambda quotas: quotas.end(caller, job, refund=refund))

    def hold(self, jobs: Sequence[tuple[str, str]]) -> None:
        self._either(lambda quotas: quotas.hold(jobs))

    def standing(self, caller: str) -> Standing:
        return self._either(lambda quotas: quotas.standing(caller))

    def _either(self, ask: Callable[[Quotas], Answer]) -> Answer:
        return self._watch.either(lambda: ask(self._shared), lambda: ask(self._own))
