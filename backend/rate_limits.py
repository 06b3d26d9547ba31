"""Who may ask how often: the limits, whom they count against, the headers that tell.

A request is counted once, when it arrives and before its body is read, against every limit
that holds for its route. One that is refused as invalid has used up that hit and no more; one
refused by a limit stops there and is not counted against the longer ones. Windows move
(never more than N in any stretch of that length), and with Redis the counting is one script
in Redis, so any number of processes share it exactly.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, request
from flask_limiter import ApplicationLimit, Limiter, RateLimitExceeded, RequestLimit
from limits import parse_many
from redis.backoff import NoBackoff
from redis.retry import Retry

from backend.callers import caller_of
from backend.errors import Problem
from backend.route_rules import rule_of
from backend.settings import Settings

log = logging.getLogger(__name__)

REDIS_TIMEOUT_S = 0.1
"""A stalled Redis may hold up one request this long, once, before limits go to memory."""


@dataclass(frozen=True, slots=True)
class PolicyState:
    """One limit as it stands for this caller: `remaining` of `quota` within `window_s`.

    `name` is the limit's scope, with the window's unit where a scope has several limits.
    """

    name: str
    quota: int
    window_s: int
    remaining: int
    resets_in_s: int
    breached: bool


class RateLimits:
    """The limits of one application. Falls back to this process's memory when Redis fails."""

    def __init__(self, settings: Settings) -> None:
        scopes = {
            "generation": settings.ratelimit_generation,
            "global": settings.ratelimit_global,
            "images": settings.ratelimit_images,
            "jobs": settings.ratelimit_jobs,
        }
        self._alone = frozenset(s for s, value in scopes.items() if len(parse_many(value)) == 1)
        redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
        self.uses_redis = redis_url is not None
        self._limiter = Limiter(
            key_func=lambda: caller_of(request),
            application_limits=[_limit(scope, value) for scope, value in scopes.items()],
            strategy="moving-window",
            storage_uri=redis_url or "memory://",
            storage_options=redis_options() if redis_url else {},
            in_memory_fallback_enabled=redis_url is not None,
            headers_enabled=False,
            key_prefix="sluice",
            enabled=settings.ratelimit_enabled,
        )

    def init_app(self, app: Flask) -> None:
        """Count every request to `app` from here on, and tell callers how they stand."""
        self._limiter.init_app(app)
        app.after_request(self._tell)

    def redis_answers(self) -> bool:
        """Whether Redis does, asked now; waits REDIS_TIMEOUT_S at most. False without Redis."""
        return self.uses_redis and bool(self._limiter.storage.check())

    def problem_of(self, error: RateLimitExceeded) -> Problem:
        """What a caller over a limit is told: which one, and when to come back."""
        breached = [state for state in self._states() if state.breached]
        wait_s = max((state.resets_in_s for state in breached), default=1)
        name = breached[0].name if breached else "request"
        return Problem(
            429,
            "rate_limited",
            "Too many requests",
            f"The {name} limit of {error.limit.limit} is used up; try again in {wait_s} s.",
            retry_after_s=wait_s,
        )

    def _states(self) -> list[PolicyState]:
        try:
            return [_state(limit, self._alone) for limit in self._limiter.current_limits]
        except Exception as error:
            # Redis may fail between the count and this read: the answer goes without headers.
            log.warning("rate limits not readable", extra={"error": type(error).__name__})
            return []

    def _tell(self, response: Response) -> Response:
        states = self._states()
        if states:
            tightest = min(states, key=lambda state: (not state.breached, state.remaining))
            response.headers.extend(
                {
                    "RateLimit-Policy": ", ".join(
                        f'"{state.name}";q={state.quota};w={state.window_s}' for state in states
                    ),
                    "RateLimit": ", ".join(
                        f'"{state.name}";r={state.remaining};t={state.resets_in_s}'
                        for state in states
                    ),
                    "X-RateLimit-Limit": str(tightest.quota),
                    "X-RateLimit-Remaining": str(tightest.remaining),
                    "X-RateLimit-Reset": str(int(time.time()) + tightest.resets_in_s),
                }
            )
        return response


def _limit(scope: str, value: str) -> ApplicationLimit:
    def exempt() -> bool:
        return scope not in rule_of(request.blueprint).limits

    return ApplicationLimit(value, scope=scope, exempt_when=exempt)


def redis_options() -> Any:
    """What redis.from_url takes; flask-limiter's own type for it knows only text and numbers."""
    return {
        "socket_timeout": REDIS_TIMEOUT_S,
        "socket_connect_timeout": REDIS_TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
    }


def _state(limit: RequestLimit, alone: frozenset[str]) -> PolicyState:
    scope = limit.request_args[-1]
    return PolicyState(
        name=scope if scope in alone else f"{scope}-{limit.limit.GRANULARITY.name}",
        quota=limit.limit.amount,
        window_s=limit.limit.get_expiry(),
        remaining=0 if limit.breached else limit.remaining,
        resets_in_s=min(limit.limit.get_expiry(), max(1, limit.reset_at - int(time.time()))),
        breached=limit.breached,
    )
