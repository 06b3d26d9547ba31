"""Addresses of Redis, the database and the broker, refused at start rather than at their first use.

What is wrong with one is said without it: there may be a password inside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr


def _refused_unless(is_sound: Callable[[str], bool], words: str) -> AfterValidator:
    def check(secret: SecretStr) -> SecretStr:
        try:
            sound = is_sound(secret.get_secret_value())
        except ValueError:
            sound = False
        if not sound:
            raise ValueError(f"must be {words}; a password in it percent-encoded")
        return secret

    return AfterValidator(check)


def _is_redis(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return bool(parts.path)
    database = parts.path.strip("/")
    return (
        parts.scheme in ("redis", "rediss")
        and parts.port != 0
        and (not database or database.isdecimal())
    )


def _is_postgres(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("postgres", "postgresql", "postgresql+psycopg") and parts.port != 0


def _is_broker(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.scheme) and "://" in url and parts.port != 0


RedisUrl = Annotated[
    SecretStr,
    _refused_unless(_is_redis, "redis://host:port/number, rediss://... or unix:///file"),
]
DatabaseUrl = Annotated[
    SecretStr, _refused_unless(_is_postgres, "postgresql://user:password@host:port/name")
]
BrokerUrl = Annotated[
    SecretStr, _refused_unless(_is_broker, "redis://host:port/number, amqp://... or sqs://...")
]
