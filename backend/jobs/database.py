"""The database: SQLite in DATA_DIR, or PostgreSQL by DATABASE_URL, brought to shape at start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, event, func, make_url, select

MIGRATIONS = Path(__file__).parent / "migrations"
SQLITE_BUSY_S = 10.0
"""A statement waits so long for another process's lock before it fails."""
MIGRATING = 0x51_1CF
"""The advisory lock of whoever migrates: several processes may start at a time."""
POSTGRES_CONNECT_S = 5
POSTGRES_STATEMENT_MS = 10_000


def open_database(url: str | None, data_dir: Path) -> Engine:
    """A pool of connections to the database at `url`, else to DATA_DIR/sluice.db, migrated.

    Raises sqlalchemy.exc.SQLAlchemyError when it cannot be reached or migrated.
    """
    engine = connect_database(url, data_dir)
    _migrate(engine)
    return engine


def connect_database(url: str | None, data_dir: Path) -> Engine:
    """The same as it is, not migrated; nothing is reached yet."""
    return _postgres(url) if url else _sqlite(data_dir / "sluice.db")


def _sqlite(path: Path) -> Engine:
    """The file is its owner's alone: nginx may be in the group that reads the images."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": SQLITE_BUSY_S},
        hide_parameters=True,
        json_serializer=_dumps,
        json_deserializer=orjson.loads,
    )
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # A write-ahead log: readers never wait, and a killed process loses nothing it committed.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _postgres(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    return create_engine(
        parsed,
        pool_pre_ping=True,
        pool_size=10,
        hide_parameters=True,
        max_overflow=20,
        connect_args={
            "connect_timeout": POSTGRES_CONNECT_S,
            "options": f"-c statement_timeout={POSTGRES_STATEMENT_MS}",
        },
        json_serializer=_dumps,
        json_deserializer=orjson.loads,
    )


def _migrate(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(MIGRATING)))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()
