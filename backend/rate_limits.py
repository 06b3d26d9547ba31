"""Who may ask how often: the limits, whom they count against, the headers that tell.

A request is counted once, when it arrives and before its body is read, against every limit
that holds for its route. One that is refused as invalid has used up that hit and no more; one
refused by a limit stops there and is not counted against the longer ones. One refused because
its caller has all the jobs at once that he may is given its hits back. Windows move
(never more than N in any stretch of that length), and with Redis the counting is one script
in Redis, so any number of processes share it exactly.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from flask import Flask, Request, Response, g
from flask_limiter import ApplicationLimit, Limiter, RateLimitExceeded
from limits import RateLimitItem

from backend.callers import caller_of, key_of
from backend.errors import Problem
from backend.here import kept, served
from backend.redis_watch import RedisWatch
from backend.redis_windows import GuardedWindows, RedisWindows
from backend.route_rules import rule_of
from backend.settings import Settings
from backend.windows import MemoryWindows, Standing, Window, Windows

if TYPE_CHECKING:
    from flask_limiter._limits import RuntimeLimit

OWN = "key"
"""The scope of a key's own limit."""
KINDS = 1024
"""Of requests whose limits are kept at hand, by route and by limit of a key's own."""
REPLACED = frozenset({"generation", "global"})
"""The scopes that hold for a key only if it has no limit of its own."""


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
    """The limits of one application.

    flask-limiter says which of them hold for a request; all are then counted in one go.
    """

    def __init__(self, settings: Settings, redis: RedisWatch | None) -> None:
        scopes = {
            "generation": settings.ratelimit_generation,
            "global": settings.ratelimit_global,
            "images": settings.ratelimit_images,
            "jobs": settings.ratelimit_jobs,
        }
        self._limiter = Limiter(
            key_func=lambda: caller_of(served()),
            application_limits=[
                *(_limit(scope, value) for scope, value in scopes.items()),
                ApplicationLimit(lambda: _own_limit(served()), scope=OWN),
            ],
            enabled=settings.ratelimit_enabled,
        )
        self._windows = windows_in(redis)
        self._holding = lru_cache(maxsize=KINDS)(self._those_that_hold)

    def init_app(self, app: Flask) -> None:
        """Count every request to `app` from here on, and tell callers how they stand."""
        app.before_request(self._count)
        app.after_request(_tell)

    def problem_of(self, error: RateLimitExceeded) -> Problem:
        """What a caller over a limit is told: which one, and when to come back."""
        refused = _policies()[-1]
        return Problem(
            429,
            "rate_limited",
            "Too many requests",
            f"The {refused.name} limit of {error.limit.limit} is used up; "
            f"try again in {refused.resets_in_s} s.",
            retry_after_s=refused.resets_in_s,
            limit=refused.name,
        )

    def give_back(self) -> None:
        """Uncount the request being served, once however often it is said.

        A place for a job is leased only after the body is read. To look before counting
        whether there is one would be a look that another request makes untrue.
        """
        give_back: Callable[[], Sequence[PolicyState]] | None = g.pop("rate_give_back", None)
        if give_back is not None:
            g.rate_policies = give_back()

    def _count(self) -> None:
        request = served()
        if not self._limiter.enabled or request.endpoint is None:
            return
        limits = self._holding(request.blueprint, _own_limit(request))
        caller = caller_of(request)
        asked = [(x.limit, str(x.scope)) for x in limits]
        counted = self._windows.admit([window_of(item, caller, scope) for item, scope in asked])
        here = kept()
        here.rate_policies = _states(asked, counted.standings)
        if counted.standings and counted.standings[-1].is_refused:
            raise RateLimitExceeded(limits[len(counted.standings) - 1])
        here.rate_give_back = lambda: _states(asked, counted.give_back())

    def _those_that_hold(self, _blueprint: str | None, _own: str) -> list[RuntimeLimit]:
        """The limits for a request to that blueprint, with a limit of its key's own or without.

        The shortest first. Asked of flask-limiter once for each, since it takes its time; it looks
        at the request itself, of which these two are all that counts.
        """
        declared = self._limiter.limit_manager.application_limits
        return sorted((x for x in declared if not x.is_exempt), key=lambda x: x.limit)


def windows_in(redis: RedisWatch | None) -> Windows:
    """Windows that all processes share where there is a Redis."""
    if redis is None:
        return MemoryWindows()
    return GuardedWindows(RedisWindows(redis.client), MemoryWindows(), redis)


def _policies() -> Sequence[PolicyState]:
    """The limits that were asked for the request being served, the one that refused it last."""
    policies: Sequence[PolicyState] = kept().get("rate_policies", ())
    return policies


def _tell(response: Response) -> Response:
    policies = _policies()
    if policies:
        tightest = min(policies, key=lambda state: (not state.breached, state.remaining))
        response.headers.extend(
            {
                "RateLimit-Policy": ", ".join(
                    [f'"{state.name}";q={state.quota};w={state.window_s}' for state in policies]
                ),
                "RateLimit": ", ".join(
                    [
                        f'"{state.name}";r={state.remaining};t={state.resets_in_s}'
                        for state in policies
                    ]
                ),
                "X-RateLimit-Limit": str(tightest.quota),
                "X-RateLimit-Remaining": str(tightest.remaining),
                "X-RateLimit-Reset": str(int(time.time()) + tightest.resets_in_s),
            }
        )
    return response


def _limit(scope: str, value: str) -> ApplicationLimit:
    def exempt() -> bool:
        request = served()
        if scope in REPLACED and _own_limit(request):
            return True
        return scope not in rule_of(request.blueprint).limits

    return ApplicationLimit(value, scope=scope, exempt_when=exempt)


def _own_limit(request: Request) -> str:
    """What the caller's key says instead of the limits in REPLACED; empty if nothing."""
    key = key_of(request)
    replaces = REPLACED.intersection(rule_of(request.blueprint).limits)
    return key.requests or "" if key and replaces else ""


@lru_cache(maxsize=4096)
def window_of(item: RateLimitItem, caller: str, scope: str) -> Window:
    """The window of that limit for one caller and one scope."""
    return Window(item.key_for("sluice", caller, scope), item.amount, item.get_expiry())


def _states(
    asked: Sequence[tuple[RateLimitItem, str]], standings: Sequence[Standing]
) -> list[PolicyState]:
    several = Counter(scope for _, scope in asked)
    return [
        _state(item, scope, standing, alone=several[scope] == 1)
        for (item, scope), standing in zip(asked, standings, strict=False)
    ]


def _state(item: RateLimitItem, scope: str, standing: Standing, *, alone: bool) -> PolicyState:
    return PolicyState(
        name=scope if alone else f"{scope}-{item.GRANULARITY.name}",
        quota=item.amount,
        window_s=item.get_expiry(),
        remaining=max(0, item.amount - standing.used),
        resets_in_s=max(1, math.ceil(standing.resets_in_s)),
        breached=standing.is_refused,
    )
