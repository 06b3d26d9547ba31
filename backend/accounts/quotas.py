"""What a caller may have done: how many jobs at once, how much work within an hour and a day.

Work is counted in pixel-steps (width x height x steps x images), whole numbers, which settings
and headers give as megapixel-steps. Windows move: never more than the budget in any stretch
of that length. Times are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

WINDOWS: Mapping[str, int] = {"hour": 3600, "day": 86400}
"""The windows of budgets, by name."""
MEGA = 1_000_000
LEASE_S = 30.0
"""A job whose process died counts as running for so long; a live one's lease is renewed."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """`max_jobs` queued or running at once, and the budget of each window, as far as limited."""

    max_jobs: int | None = None
    budgets: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_limited(self) -> bool:
        return self.max_jobs is not None or bool(self.budgets)


@dataclass(frozen=True, slots=True)
class Refusal:
    """`by` is "jobs" or a window's name; that would let it pass after `retry_after_s`, if known."""

    by: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """The work charged within a window; some of it leaves the window after `resets_in_s`."""

    work: int
    resets_in_s: float


@dataclass(frozen=True, slots=True)
class Standing:
    """The jobs that a caller has now, and what he has spent by window."""

    jobs: int
    spent: Mapping[str, Spent]


class Quotas(Protocol):
    """Leases and charges, by caller and job. Each call is atomic."""

    def admit(self, caller: str, job: str, work: int, allowance: Allowance) -> Refusal | None:
        """Lease `job` a place and charge its `work`, or change nothing and say what is against it.

        Places are looked at first. Only limited windows are charged.
        """

    def end(self, caller: str, job: str, *, refund: bool) -> None:
        """Give its place back, and its work where `refund`; once, however often it is said."""

    def hold(self, jobs: Sequence[tuple[str, str]]) -> None:
        """Lease these (caller, job) their places, or renew that, whatever the limits say."""

    def standing(self, caller: str) -> Standing:
        """How the caller stands now."""
