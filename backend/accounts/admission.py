"""Lets a caller's job in, charges its work, and gives back what it did not use."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from ai.generation import GenerationRequest, Work
from backend.accounts.errors import BudgetExceeded, TooCostly, TooManyJobs
from backend.accounts.keys import ApiKey
from backend.accounts.quotas import LEASE_S, MEGA, WINDOWS, Allowance, Quotas, Refusal
from backend.accounts.rules import CallerRules

RENEW_EVERY_S = LEASE_S / 3
JOBS_UNIT, WORK_UNIT = "concurrent-requests", "megapixel-steps"


@dataclass(frozen=True, slots=True)
class Policy:
    """One limit as it stands: `remaining` of `quota` units, within `window_s` if it has one."""

    name: str
    unit: str
    quota: float
    remaining: float
    window_s: int | None = None
    resets_in_s: float | None = None


class Admission:
    """Lets jobs in by `rules`. For callers without limits it costs nothing: no quota is kept."""

    def __init__(self, quotas: Quotas, rules: CallerRules) -> None:
        self._quotas = quotas
        self.rules = rules
        self._held: dict[UUID, str] = {}
        self._changing = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="leases", daemon=True)

    def start(self) -> None:
        """Renew the leases of the jobs that are held, from time to time."""
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(RENEW_EVERY_S)

    @contextmanager
    def admitted(
        self, request: GenerationRequest, caller: str, job_id: UUID
    ) -> Iterator[GenerationRequest]:
        """`request` as the caller may have it made, its place leased and its work charged.

        Both are given back if its job is not taken in after all. Raises CheckpointNotAllowed,
        TooManyJobs, BudgetExceeded, TooCostly; LedgerUnavailable when a key cannot be read.
        """
        request = self._with_checkpoint(request, self.rules.key_of(caller))
        self._charge(request, caller, job_id)
        try:
            yield request
        except BaseException:
            self.ended(job_id, refund=True)
            raise

    @contextmanager
    def holding(self, work: Work, caller: str) -> Iterator[None]:
        """A place, and the charge, for `work` that is done within; given back if it fails.

        Raises TooManyJobs, BudgetExceeded, TooCostly; LedgerUnavailable.
        """
        number = uuid4()
        self._charge(work, caller, number)
        failed = True
        try:
            yield
            failed = False
        finally:
            self.ended(number, refund=failed)

    def resumed(self, job_id: UUID, caller: str) -> None:
        """A job of an earlier process, charged then, goes on in this one."""
        if self.rules.allowance_of(caller).is_limited:
            with self._changing:
                self._held[job_id] = caller
                self._quotas.hold([(caller, str(job_id))])

    def ended(self, job_id: UUID, *, refund: bool) -> None:
        """The job needs its place no more, nor its work where `refund`. The first time counts."""
        with self._changing:
            caller = self._held.pop(job_id, None)
        if caller is not None:
            self._quotas.end(caller, str(job_id), refund=refund)

    def ended_unheld(self, job_id: UUID, caller: str, *, refund: bool) -> None:
        """Likewise for a job that this process neither took in nor resumed."""
        if self.rules.allowance_of(caller).is_limited:
            self._quotas.end(caller, str(job_id), refund=refund)

    def policies(self, caller: str) -> list[Policy]:
        """How the caller stands with each of his limits. Raises LedgerUnavailable."""
        allowance = self.rules.allowance_of(caller)
        if not allowance.is_limited:
            return []
        standing = self._quotas.standing(caller)
        told = []
        if allowance.max_jobs is not None:
            left = max(0, allowance.max_jobs - standing.jobs)
            told.append(Policy(TooManyJobs.limit, JOBS_UNIT, allowance.max_jobs, left))
        for name, budget in allowance.budgets.items():
            spent = standing.spent[name]
            left = max(0, budget - spent.work)
            told.append(
                Policy(
                    f"work-{name}",
                    WORK_UNIT,
                    budget / MEGA,
                    left / MEGA,
                    WINDOWS[name],
                    spent.resets_in_s,
                )
            )
        return told

    def _charge(self, request: Work, caller: str, job_id: UUID) -> None:
        allowance = self.rules.allowance_of(caller)
        if not allowance.is_limited:
            return
        work = round(request.megapixel_steps * MEGA)
        refusal = self._quotas.admit(caller, str(job_id), work, allowance)
        if refusal is not None:
            raise _refused(refusal, work, allowance)
        with self._changing:
            self._held[job_id] = caller

    def _with_checkpoint(self, request: GenerationRequest, key: ApiKey | None) -> GenerationRequest:
        if request.checkpoint is None:
            default = self.rules.default_for(key)
            return request if default is None else replace(request, checkpoint=default)
        self.rules.require_allowed(key, request.checkpoint)
        return request

    def _renew(self) -> None:
        while not self._closing.wait(RENEW_EVERY_S):
            # Under the lock, so that no job is leased a place again that has just ended.
            with self._changing:
                self._quotas.hold([(caller, str(job)) for job, caller in self._held.items()])


def _refused(refusal: Refusal, work: int, allowance: Allowance) -> Exception:
    if refusal.by == "jobs":
        return TooManyJobs(
            f"You may have {allowance.max_jobs} jobs at once, and have them; wait for one to end."
        )
    budget = f"{allowance.budgets[refusal.by] / MEGA:g} {WORK_UNIT} per {refusal.by}"
    costs = f"This would cost {work / MEGA:g}"
    if refusal.retry_after_s is None:
        return TooCostly(f"{costs}, and you have {budget}: ask for fewer pixels, steps or images.")
    return BudgetExceeded(
        f"{costs}, more than is left of your {budget}; try again later.",
        f"work-{refusal.by}",
        refusal.retry_after_s,
    )
