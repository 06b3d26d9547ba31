"""When an engine may be asked: it rests after failures, longer each time, and is probed."""

from __future__ import annotations

import math

from ai.errors import (
    EngineError,
    EngineFailed,
    EngineLost,
    EngineOutOfMemory,
    EngineTimeout,
    EngineUnavailable,
    WrongCheckpoint,
    WrongResult,
)
from ai.pool_values import EngineState, PoolPolicy

_SEVERE = (EngineUnavailable, EngineLost, EngineTimeout, EngineOutOfMemory)
_STRIKES = (EngineFailed, WrongResult)


class EngineHealth:
    """One engine's. Pure: times are passed in, seconds of any one clock.

    An engine is asked while "up". After a failure it is "cooling"; when its pause is over
    and a probe finds it well it is up again, on trial: one request at a time until one
    succeeds, and the first failure sends it back for twice as long. A probe that fails
    makes it "down", which differs in name only: nothing answers there. A probe may go
    unanswered once, for an engine at work can be slow to answer.
    """

    def __init__(self, policy: PoolPolicy) -> None:
        self._policy = policy
        self._strikes = 0
        self._pauses = 0
        self._unanswered = 0
        self._until = 0.0
        self._proved_at = self._asked_at = -math.inf
        self.state: EngineState = "unknown"
        self.on_trial = False
        self.last_error: str | None = None

    @property
    def usable(self) -> bool:
        return self.state == "up"

    def cooldown_left_s(self, now: float) -> float:
        return 0.0 if self.usable else max(0.0, self._until - now)

    def next_probe_at(self, now: float) -> float:
        return now + self._policy.probe_interval_s if self.usable else max(now, self._until)

    def spared_until(self) -> float:
        """When a probe tells something new: not soon after a request has proved it well."""
        if not self.usable or self.on_trial:
            return -math.inf
        proved = self._proved_at + self._policy.probe_interval_s
        return min(proved, self._asked_at + self._policy.facts_fresh_s)

    def succeeded(self, now: float) -> None:
        """A request went well."""
        self._proved_at = now
        self._strikes = self._pauses = 0
        self.on_trial = False
        if self.usable:
            self.last_error = None

    def failed(self, error: EngineError, now: float, *, blameless: bool = False) -> None:
        """A request failed; `blameless` if it had failed elsewhere too, so is the cause itself."""
        severe = isinstance(error, _SEVERE)
        if not severe and (
            blameless or isinstance(error, WrongCheckpoint) or not isinstance(error, _STRIKES)
        ):
            return
        self.last_error = str(error)
        self._strikes += 1
        if severe or self.on_trial or self._strikes >= self._policy.failures_to_cool:
            self._rest("cooling", now)

    def probed(self, now: float) -> None:
        """It answered a probe as a working engine does."""
        self._asked_at = now
        self._unanswered = 0
        if self.usable or now < self._until:
            return
        self.on_trial = self.state != "unknown"
        self.state = "up"

    def probe_failed(self, error: EngineError, now: float) -> None:
        """It did not."""
        if isinstance(error, EngineTimeout):
            self._unanswered += 1
            if self.usable and self._unanswered == 1:
                return
        self.last_error = str(error)
        self._rest("down", now)

    def _rest(self, state: EngineState, now: float) -> None:
        longest = self._policy.cooldown_max_s
        pause_s = min(longest, self._policy.cooldown_first_s * 2.0 ** min(self._pauses, 32))
        self._pauses += 1
        self._strikes = 0
        self.on_trial = False
        self.state = state
        self._until = now + pause_s
