"""What settings may be: wrong ones are refused at start rather than at their first use.

What is wrong with an address is said without it: there may be a password inside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal
from urllib.parse import urlsplit

from limits import parse_many
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from backend.jobs.signing import signing_key

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.strip().lower() == "none":
        return ()
    return tuple(url.strip().rstrip("/") for url in value.split(",") if url.strip())


def _http_only(urls: tuple[str, ...]) -> tuple[str, ...]:
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("each must be http://host:port or https://host:port")
    return urls


def _base_of_urls(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise ValueError("must be http://host or https://host")
    return url.rstrip("/")


def _truth_in_words(value: object) -> object:
    text = str(value).strip().lower()
    return {
        **dict.fromkeys(("1", "yes", "on"), "true"),
        **dict.fromkeys(("0", "no", "off"), "false"),
    }.get(text, text)


def _readable_limits(value: str) -> str:
    parse_many(value)
    return value


def _signs(secret: SecretStr) -> SecretStr:
    signing_key(secret.get_secret_value())
    return secret


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
WebUIUrls = Annotated[
    tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_http_only)
]
"""Separated by commas; "none" for none."""
PublicUrl = Annotated[str, Field(max_length=100), AfterValidator(_base_of_urls)]
CpuFallback = Annotated[Literal["true", "false", "overflow"], BeforeValidator(_truth_in_words)]
RateLimits = Annotated[str, AfterValidator(_readable_limits)]
WebhookSecret = Annotated[SecretStr, AfterValidator(_signs)]
