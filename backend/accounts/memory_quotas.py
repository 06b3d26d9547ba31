"""Quotas in the memory of this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from backend.accounts.quotas import LEASE_S, WINDOWS, Allowance, Refusal, Spent, Standing

SWEEP_EVERY = 1000
"""Admissions between two looks for callers of whom nothing is left to know."""


@dataclass(slots=True)
class _Window:
    """Charges by job, oldest first: when, and how much; `work` is their sum."""

    length_s: int
    charges: dict[str, tuple[float, int]] = field(default_factory=dict)
    work: int = 0

    def expire(self, now: float) -> None:
        while self.charges:
            job, (at, _) = next(iter(self.charges.items()))
            if at > now - self.length_s:
                return
            self.forget(job)

    def charge(self, job: str, work: int, now: float) -> None:
        self.forget(job)
        self.charges[job] = (now, work)
        self.work += work

    def forget(self, job: str) -> None:
        self.work -= self.charges.pop(job, (0.0, 0))[1]

    def wait_for(self, work: int, budget: int, now: float) -> float | None:
        """Seconds until `work` fits into `budget`; 0 if it does now, None if it never will."""
        left = self.work + work - budget
        if left <= 0:
            return 0.0
        for at, charged in self.charges.values():
            left -= charged
            if left <= 0:
                return at + self.length_s - now
        return None


@dataclass(slots=True)
class _Account:
    jobs: dict[str, float] = field(default_factory=dict)
    windows: dict[str, _Window] = field(
        default_factory=lambda: {name: _Window(length) for name, length in WINDOWS.items()}
    )

    def expire(self, now: float) -> None:
        self.jobs = {job: until for job, until in self.jobs.items() if until > now}
        for window in self.windows.values():
            window.expire(now)

    @property
    def is_empty(self) -> bool:
        return not self.jobs and not any(window.charges for window in self.windows.values())


class MemoryQuotas:
    """As `Quotas` says. `clock` tells seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._accounts: dict[str, _Account] = {}
        self._changing = threading.Lock()
        self._admissions = 0

    def admit(self, caller: str, job: str, work: int, allowance: Allowance) -> Refusal | None:
        with self._changing:
            now, account = self._now(caller)
            if allowance.max_jobs is not None and len(account.jobs) >= allowance.max_jobs:
                return Refusal("jobs")
            for name, budget in allowance.budgets.items():
                wait_s = account.windows[name].wait_for(work, budget, now)
                if wait_s != 0.0:
                    return Refusal(name, wait_s)
            account.jobs[job] = now + LEASE_S
            for name in allowance.budgets:
                account.windows[name].charge(job, work, now)
            return None

    def end(self, caller: str, job: str, *, refund: bool) -> None:
        with self._changing:
            _, account = self._now(caller)
            account.jobs.pop(job, None)
            for window in account.windows.values() if refund else ():
                window.forget(job)

    def hold(self, jobs: Sequence[tuple[str, str]]) -> None:
        with self._changing:
            for caller, job in jobs:
                now, account = self._now(caller)
                account.jobs[job] = now + LEASE_S

    def standing(self, caller: str) -> Standing:
        with self._changing:
            now, account = self._now(caller)
            spent = {}
            for name, window in account.windows.items():
                oldest = next(iter(window.charges.values()), None)
                resets_in_s = oldest[0] + window.length_s - now if oldest else 0.0
                spent[name] = Spent(window.work, resets_in_s)
            return Standing(len(account.jobs), spent)

    def _now(self, caller: str) -> tuple[float, _Account]:
        """The time, and the account with what is over taken out of it."""
        now = self._clock()
        self._admissions += 1
        if self._admissions % SWEEP_EVERY == 0:
            self._sweep(now)
        account = self._accounts.setdefault(caller, _Account())
        account.expire(now)
        return now, account

    def _sweep(self, now: float) -> None:
        for account in self._accounts.values():
            account.expire(now)
        self._accounts = {
            c: account for c, account in self._accounts.items() if not account.is_empty
        }
