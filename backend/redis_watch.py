"""Whether Redis is to be asked: not from its first failure until it is found to do its work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

CONNECT_TIMEOUT_S = 0.04
ANSWER_TIMEOUT_S = 0.1
"""Together the longest that a stalled Redis may hold up a request."""
MOST_CONNECTIONS = 2**16
"""More than there are threads to ask at the same moment. Passing redis-py's own hundred is an
error like any other, by which Redis would seem to be away."""
LOOK_AGAIN_S = 1.0
_KEY = "sluice:watch"
_WRITE = "return redis.call('SET', KEYS[1], '1', 'PX', 1000)"
"""What limits do: a full Redis, or one that may not write, still answers PING."""


class RedisNews(Protocol):
    """Who is told how Redis fares, such as metrics."""

    def redis_failed(self) -> None: ...

    def limits_degraded(self, degraded: bool) -> None: ...


class RedisWatch:
    """`client`, which all limits share, and whether it is to be used now (not `is_away`).

    Only the requests under way at a failure wait for it. After that a thread of our own asks
    Redis each second; no request does.
    """

    def __init__(self, client: Redis, news: RedisNews) -> None:
        self.client = client
        self.is_away = False
        self._news = news
        self._changing = threading.Lock()
        self._closing = threading.Event()

    def failed(self, error: RedisError) -> None:
        """Redis did not do what it was asked: it is away until it does."""
        self._news.redis_failed()
        with self._changing:
            if self.is_away:
                return
            self.is_away = True
            self._news.limits_degraded(True)
        log.warning("limits kept in memory", extra={"error": type(error).__name__})
        threading.Thread(target=self._wait_for_it, name="redis-watch", daemon=True).start()

    def either(self, shared: Callable[[], Answer], own: Callable[[], Answer]) -> Answer:
        """What `shared` asks of Redis, or `own` where it is away or fails just now."""
        if not self.is_away:
            try:
                return shared()
            except RedisError as error:
                self.failed(error)
        return own()

    def answers(self) -> bool:
        """Whether limits can be kept there now, asked of it unless known not to be so."""
        self.either(lambda: try_writing(self.client), lambda: None)
        return not self.is_away

    def close(self) -> None:
        self._closing.set()
        self.client.close()

    def _wait_for_it(self) -> None:
        while not self._closing.wait(LOOK_AGAIN_S):
            try:
                try_writing(self.client)
            except RedisError:
                self._news.redis_failed()
                continue
            with self._changing:
                self.is_away = False
                self._news.limits_degraded(False)
            log.info("limits kept in Redis again")
            return


def try_writing(client: Redis) -> None:
    """Raises RedisError unless limits can be kept there."""
    client.eval(_WRITE, 1, _KEY)


def redis_options(
    connect_timeout_s: float = CONNECT_TIMEOUT_S, answer_timeout_s: float = ANSWER_TIMEOUT_S
) -> dict[str, Any]:
    """What has a Redis client fail at once: short timeouts, nothing tried again unasked."""
    return {
        "max_connections": MOST_CONNECTIONS,
        "socket_connect_timeout": connect_timeout_s,
        "socket_timeout": answer_timeout_s,
        "retry": Retry(NoBackoff(), 0),
    }
