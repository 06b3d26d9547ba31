"""What holds for a caller, by the settings, his key and what the pool has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ai.engines.base import Checkpoint
from ai.pool_values import PoolCheckpoint
from backend.accounts.keys import ApiKey
from backend.accounts.known_keys import KnownKeys
from backend.accounts.quotas import MEGA, Allowance


@dataclass(frozen=True, slots=True)
class CallerRules:
    """`max_jobs` at once and `budgets` in megapixel-steps by window, unless a key says otherwise.

    None and, in a key, 0 mean no limit. `checkpoints` are those of the pool.
    """

    keys: KnownKeys
    checkpoints: Callable[[], Iterable[PoolCheckpoint]]
    max_jobs: int | None
    budgets: Mapping[str, float | None]

    def key_of(self, caller: str) -> ApiKey | None:
        return self.keys.by_caller(caller)

    def allowance_of(self, caller: str) -> Allowance:
        max_jobs, budgets = self.max_jobs, self.budgets
        key = self.key_of(caller)
        if key is not None:
            own = {"hour": key.budget_hour, "day": key.budget_day}
            max_jobs = max_jobs if key.max_jobs is None else key.max_jobs
            budgets = {name: budgets[name] if own[name] is None else own[name] for name in own}
        limited = {name: round(budget * MEGA) for name, budget in budgets.items() if budget}
        return Allowance(max_jobs or None, limited)

    def checkpoints_meant(self, asked: str) -> set[str]:
        """The names of the checkpoints that a caller who wrote `asked` may get."""
        known = (Checkpoint(c.name, c.title, c.hash) for c in self.checkpoints())
        return {checkpoint.name for checkpoint in known if checkpoint.answers_to(asked)}
