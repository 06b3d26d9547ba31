"""Callers' checkpoints in Redis, the same for all web processes and after a restart."""

from __future__ import annotations

from backend.compat.sdapi.choices import KEPT_S, Choices, ChosenCheckpoints
from backend.redis_watch import RedisWatch


def choices_of(redis: RedisWatch | None) -> Choices:
    """Where choices are kept: in `redis`, or without one in this process's memory."""
    return ChosenCheckpoints() if redis is None else SharedChoices(redis)


class SharedChoices:
    """Kept in Redis, one round trip each. Never raises.

    What was last seen here holds here while Redis is away. A choice made then is told to Redis
    when its caller comes again.
    """

    def __init__(self, watch: RedisWatch, kept_s: float = KEPT_S) -> None:
        self._watch = watch
        self._kept_s = int(kept_s)
        self._seen = ChosenCheckpoints(kept_s)
        self._untold = ChosenCheckpoints(kept_s)

    def of(self, caller: str) -> str | None:
        """What the caller chose; asking keeps it for as long again."""
        untold = self._untold.of(caller)
        if untold is not None:
            self.choose(caller, untold)
            return untold
        return self._watch.either(lambda: self._read(caller), lambda: self._seen.of(caller))

    def choose(self, caller: str, checkpoint: str) -> None:
        """`checkpoint` is the name of one there is, and so short."""
        self._seen.choose(caller, checkpoint)
        if self._watch.either(lambda: self._write(caller, checkpoint), lambda: False):
            self._untold.forget(caller)
        else:
            self._untold.choose(caller, checkpoint)

    def _read(self, caller: str) -> str | None:
        with self._watch.client.pipeline(transaction=False) as pipe:
            pipe.get(_key(caller))
            pipe.expire(_key(caller), self._kept_s)
            told = pipe.execute()[0]
        if told is None:
            self._seen.forget(caller)
            return None
        checkpoint = bytes.decode(told, errors="replace")
        self._seen.choose(caller, checkpoint)
        return checkpoint

    def _write(self, caller: str, checkpoint: str) -> bool:
        return bool(self._watch.client.set(_key(caller), checkpoint, ex=self._kept_s))


def _key(caller: str) -> str:
    return f"sluice:chosen:{caller}"
