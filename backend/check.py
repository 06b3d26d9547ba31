"""`python -m backend check`: whether everything the settings name is there, a line for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from pydantic import ValidationError
from redis import Redis
from sqlalchemy import text

from ai.engines.base import Engine
from ai.errors import EngineError
from backend.engines import build_engines
from backend.jobs.database import connect_database
from backend.redis_watch import redis_options, try_writing
from backend.services import database_url
from backend.settings import Settings, complaints
from backend.storage.base import StorageError
from backend.storage.local import check_writable

BROKER_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one thing: `words` for a person."""

    what: str
    is_good: bool
    words: str

    def __str__(self) -> str:
        return f"{'ok' if self.is_good else 'FAILED':7} {self.what}: {self.words}"


def main(_arguments: Sequence[str]) -> int:
    """Print what is found. Returns 0 when all is well, else 1."""
    all_good = True
    for finding in findings():
        print(finding, flush=True)  # noqa: T201
        all_good &= finding.is_good
    return int(not all_good)


def findings() -> Iterator[Finding]:
    """The settings, then each engine, Redis, the broker, the database, the store, as found now."""
    try:
        settings = Settings()
    except ValidationError as error:
        yield from (Finding("settings", False, line) for line in complaints(error))
        return
    yield Finding("settings", True, "every one makes sense")
    for engine in build_engines(settings):
        yield _looked_at(f"engine {engine.name}", partial(_engine, engine))
    yield _looked_at("redis", partial(_redis, settings))
    if settings.celery_broker_url is not None:
        yield _looked_at("broker", partial(_broker, settings))
    yield _looked_at("database", partial(_database, settings))
    yield _looked_at("store", partial(_store, settings))


def _looked_at(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except (EngineError, StorageError) as error:
        return Finding(what, False, str(error))
    except OSError as error:
        return Finding(what, False, f"cannot be used: {error.strerror or type(error).__name__}")
    # Whatever it is: the lines after it are wanted too. An error's own words may hold an address,
    # and with it a password.
    except Exception as error:
        return Finding(what, False, f"does not answer ({type(error).__name__})")


def _engine(engine: Engine) -> str:
    try:
        facts = engine.describe()
    finally:
        engine.close()
    count = len(facts.checkpoints)
    noun = "checkpoint" if count == 1 else "checkpoints"
    return f"{engine.tier.upper()} tier, {count} {noun}, loaded: {facts.loaded or 'not told'}"


def _redis(settings: Settings) -> str:
    if settings.redis_url is None:
        return "not used, limits are kept in memory"
    with Redis.from_url(settings.redis_url.get_secret_value(), **redis_options()) as redis:
        try_writing(redis)
    return "answers"


def _broker(settings: Settings) -> str:
    from backend.broker import celery_app  # Celery is big, and nobody else needs it

    with celery_app(settings, timeout_s=BROKER_TIMEOUT_S).connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=BROKER_TIMEOUT_S)
    return f"{connection.transport_cls} answers"


def _database(settings: Settings) -> str:
    database = connect_database(database_url(settings), settings.data_dir)
    try:
        with database.connect() as connection:
            connection.execute(text("SELECT 1"))
    finally:
        database.dispose()
    return f"{database.dialect.name} answers"


def _store(settings: Settings) -> str:
    check_writable(settings.data_dir)
    return "an image can be kept"
