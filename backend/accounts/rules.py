"""What holds for a caller, by the settings, his key and what the pool has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ai.engines.base import Checkpoint
from ai.pool_values import PoolCheckpoint
from backend.accounts.errors import CheckpointNotAllowed
from backend.accounts.keys import ApiKey
from backend.accounts.known_keys import KnownKeys
from backend.accounts.quotas import MEGA, Allowance


@dataclass(frozen=True, slots=True)
class CallerRules:
    """`max_jobs` at once and `budgets` in megapixel-steps by window, unless a key says otherwise.

    None and, in a key, 0 mean no limit. `checkpoints` are those of the pool, and
    `default_checkpoint` is what a request that names none gets where the key allows it; None
    means whichever is loaded.
    """

    keys: KnownKeys
    checkpoints: Callable[[], Iterable[PoolCheckpoint]]
    max_jobs: int | None
    budgets: Mapping[str, float | None]
    default_checkpoint: str | None = None

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

    def checkpoints_for(self, key: ApiKey | None) -> list[PoolCheckpoint]:
        """Those of the pool that `key` may use; without a key all."""
        return [c for c in self.checkpoints() if self.allows(key, c.name)]

    def default_for(self, key: ApiKey | None) -> str | None:
        """What a request that names no checkpoint gets; None: whichever is loaded.

        Of the key's own that is one that is loaded, else the first that an engine has.
        """
        default = self.default_checkpoint
        if key is None or not key.checkpoints:
            return default
        if default is not None and self.allows(key, default):
            return default
        allowed = self.checkpoints_for(key)
        loaded = [checkpoint for checkpoint in allowed if checkpoint.loaded_on]
        names = {checkpoint.name for checkpoint in loaded or allowed}
        return next((name for name in key.checkpoints if name in names), key.checkpoints[0])

    def allows(self, key: ApiKey | None, asked: str) -> bool:
        """Whether `key` may use all that `asked` may mean: a name, title or hash."""
        if key is None or not key.checkpoints:
            return True
        known = (Checkpoint(c.name, c.title, c.hash) for c in self.checkpoints())
        meant = {checkpoint.name for checkpoint in known if checkpoint.answers_to(asked)}
        return (meant or {asked}) <= set(key.checkpoints)

    def require_allowed(self, key: ApiKey | None, asked: str) -> None:
        """Raises CheckpointNotAllowed, with what is, unless `allows`."""
        if key is not None and not self.allows(key, asked):
            allowed = ", ".join(key.checkpoints)
            raise CheckpointNotAllowed(f"This API key may use only these checkpoints: {allowed}.")
