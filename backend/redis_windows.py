"""Moving windows in Redis, shared by any number of processes, and in memory while it is away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import Redis, RedisError

from backend.redis_watch import RedisWatch
from backend.windows import Standing, Window, Windows

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
    """One script, one round trip for all that a request meets.

    Raises RedisError when Redis does not answer.
    """

    def __init__(self, redis: Redis) -> None:
        self._admit = redis.register_script(_ADMIT)

    def admit(self, windows: Sequence[Window]) -> Sequence[Standing]:
        if not windows:
            return []
        arguments = [number for w in windows for number in (w.quota, w.period_s)]
        answer: Any = self._admit(keys=[w.key for w in windows], args=arguments)
        return [Standing(used, float(left), bool(refused)) for used, left, refused in answer]


class GuardedWindows:
    """Windows in Redis, and in this process's memory while `watch` says that it is away."""

    def __init__(self, shared: Windows, own: Windows, watch: RedisWatch) -> None:
        self._shared = shared
        self._own = own
        self._watch = watch

    def admit(self, windows: Sequence[Window]) -> Sequence[Standing]:
        if not self._watch.is_away:
            try:
                return self._shared.admit(windows)
            except RedisError as error:
                self._watch.failed(error)
        return self._own.admit(windows)
