"""Moving windows in Redis, shared by any number of processes, and what to do while it is away."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any, Protocol

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from backend.windows import Standing, Window, Windows

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 0.04
ANSWER_TIMEOUT_S = 0.1
"""Together the longest that a stalled Redis may hold up a request."""
LOOK_AGAIN_S = 1.0

_ADMIT = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local standings = {}
for i, key in ipairs(KEYS) do
    local quota, period = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    local oldest = tonumber(redis.call('LINDEX', key, 0))
    while oldest and oldest <= now - period do
        redis.call('LPOP', key)
        oldest = tonumber(redis.call('LINDEX', key, 0))
    end
    local used = redis.call('LLEN', key)
    local refused = used >= quota
    if not refused then
        used = redis.call('RPUSH', key, string.format('%.6f', now))
        redis.call('EXPIRE', key, period)
    end
    local left = (oldest or now) + period - now
    standings[i] = {used, string.format('%.6f', left), refused and 1 or 0}
    if refused then break end
end
return standings
"""
"""By the clock of Redis, so that those of the processes need not agree."""


class RedisWindows:
    """Windows in the Redis at `url`: one script, one round trip for all that a request meets.

    Every method raises RedisError, within the two timeouts, when it does not answer; nothing
    is tried again.
    """

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url, **redis_options())
        self._admit = self._redis.register_script(_ADMIT)

    def admit(self, windows: Sequence[Window]) -> Sequence[Standing]:
        if not windows:
            return []
        arguments = [number for w in windows for number in (w.quota, w.period_s)]
        answer: Any = self._admit(keys=[w.key for w in windows], args=arguments)
        return [Standing(used, float(left), bool(refused)) for used, left, refused in answer]

    def ping(self) -> None:
        self._redis.ping()

    def close(self) -> None:
        self._redis.close()


class RedisNews(Protocol):
    """Who is told how Redis fares, such as metrics."""

    def redis_failed(self) -> None: ...

    def limits_degraded(self, degraded: bool) -> None: ...


class GuardedWindows:
    """Windows in Redis, and in this process's memory from its first failure until it is back.

    Only the requests under way at the failure wait for it. After that a thread of our own asks
    Redis each second; no request does.
    """

    def __init__(self, shared: RedisWindows, own: Windows, news: RedisNews) -> None:
        self._shared = shared
        self._own = own
        self._news = news
        self._is_away = False
        self._changing = threading.Lock()
        self._closing = threading.Event()

    def admit(self, windows: Sequence[Window]) -> Sequence[Standing]:
        if not self._is_away:
            try:
                return self._shared.admit(windows)
            except RedisError as error:
                self._fall_back(error)
        return self._own.admit(windows)

    def answers(self) -> bool:
        """Whether Redis counts now, asked of it unless that is known not to be so."""
        if not self._is_away:
            try:
                self._shared.ping()
            except RedisError as error:
                self._fall_back(error)
        return not self._is_away

    def close(self) -> None:
        self._closing.set()
        self._shared.close()

    def _fall_back(self, error: RedisError) -> None:
        self._news.redis_failed()
        with self._changing:
            if self._is_away:
                return
            self._is_away = True
            self._news.limits_degraded(True)
        log.warning("limits kept in memory", extra={"error": type(error).__name__})
        threading.Thread(target=self._wait_for_it, name="redis-watch", daemon=True).start()

    def _wait_for_it(self) -> None:
        while not self._closing.wait(LOOK_AGAIN_S):
            try:
                self._shared.ping()
            except RedisError:
                self._news.redis_failed()
                continue
            with self._changing:
                self._is_away = False
                self._news.limits_degraded(False)
            log.info("limits kept in Redis again")
            return


def redis_options() -> dict[str, Any]:
    """What has a Redis client fail at once: short timeouts, nothing tried again unasked."""
    return {
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": ANSWER_TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
    }
