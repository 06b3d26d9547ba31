"""Moving windows in Redis, shared by any number of processes, and in memory while it is away."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError, ResponseError

from backend.redis_watch import RedisWatch
from backend.windows import Counted, Standing, Window, Windows

_MOVE = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6

local function oldest_within(key, period)
    local oldest = tonumber(redis.call('LINDEX', key, 0))
    while oldest and oldest <= now - period do
        redis.call('LPOP', key)
        oldest = tonumber(redis.call('LINDEX', key, 0))
    end
    return oldest
end

local function standing(used, oldest, period, refused)
    return {used, string.format('%.6f', (oldest or now) + period - now), refused and 1 or 0}
end

local standings = {}
"""
"""By the clock of Redis, so that those of the processes need not agree."""
_ADMIT = f"""{_MOVE}
local hit_at = string.format('%.6f', now)
for i, key in ipairs(KEYS) do
    local quota, period = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    local oldest = oldest_within(key, period)
    local used = redis.call('LLEN', key)
    local refused = used >= quota
    if not refused then
        used = redis.call('RPUSH', key, hit_at)
        redis.call('EXPIRE', key, period)
    end
    standings[i] = standing(used, oldest, period, refused)
    if refused then break end
end
return {{hit_at, standings}}
"""
_GIVE_BACK = f"""{_MOVE}
for i, key in ipairs(KEYS) do
    local period = tonumber(ARGV[i + 1])
    redis.call('LREM', key, -1, ARGV[1])
    local oldest = oldest_within(key, period)
    standings[i] = standing(redis.call('LLEN', key), oldest, period, false)
end
return standings
"""
"""Of several hits at the very same time any one will do."""


class _Script:
    """A script, asked for over a connection of the client's own pool.

    The client's own way does the same, and asks each time whether it is to be traced, tried
    again or sent to a cluster: half as much work again.
    """

    def __init__(self, redis: Redis, text: str) -> None:
        self._script = redis.register_script(text)
        self._connections = redis.connection_pool

    def __call__(self, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """What it answers. Raises RedisError."""
        connection = self._connections.get_connection()
        try:
            connection.send_command("EVALSHA", self._script.sha, len(keys), *keys, *args)  # type: ignore[no-untyped-call]
            return connection.read_response()
        except NoScriptError:
            return self._script(keys=keys, args=args)
        except ResponseError:
            raise
        except BaseException:
            connection.disconnect()  # type: ignore[no-untyped-call]  # it may answer yet
            raise
        finally:
            self._connections.release(connection)


class RedisWindows:
    """One script, one round trip for all that a request meets.

    Raises RedisError when Redis does not answer.
    """

    def __init__(self, redis: Redis) -> None:
        self._admit = _Script(redis, _ADMIT)
        self._remove = _Script(redis, _GIVE_BACK)

    def admit(self, windows: Sequence[Window]) -> Counted:
        if not windows:
            return Counted([], list)
        arguments = [number for w in windows for number in (w.quota, w.period_s)]
        hit_at, answer = self._admit(keys=[w.key for w in windows], args=arguments)
        standings = _standings(answer)
        hit = [w for w, s in zip(windows, standings, strict=False) if not s.is_refused]
        return Counted(standings, partial(self._give_back, hit, hit_at))

    def _give_back(self, windows: Sequence[Window], hit_at: bytes) -> Sequence[Standing]:
        if not windows:
            return []
        periods = [w.period_s for w in windows]
        return _standings(self._remove(keys=[w.key for w in windows], args=[hit_at, *periods]))


class GuardedWindows:
    """Windows in Redis, and in this process's memory while `watch` says that it is away.

    Hits go back to where they were counted; those that Redis cannot be told of stay counted.
    """

    def __init__(self, shared: Windows, own: Windows, watch: RedisWatch) -> None:
        self._shared = shared
        self._own = own
        self._watch = watch

    def admit(self, windows: Sequence[Window]) -> Counted:
        return self._watch.either(lambda: self._in_redis(windows), lambda: self._own.admit(windows))

    def _in_redis(self, windows: Sequence[Window]) -> Counted:
        counted = self._shared.admit(windows)

        def give_back() -> Sequence[Standing]:
            return self._watch.either(counted.give_back, lambda: counted.standings)

        return Counted(counted.standings, give_back)


def _standings(answer: Any) -> list[Standing]:
    return [Standing(used, float(left), bool(refused)) for used, left, refused in answer]
