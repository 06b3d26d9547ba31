"""Statements carried out in the database, and what goes wrong with that in our own words."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Executable, Row, Table, insert
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from backend.jobs.records import KeyTaken, LedgerUnavailable

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
AGAIN_AFTER_S = 1.0


class Access:
    """The way to a database. Every method may raise LedgerUnavailable."""

    def __init__(self, database: Engine) -> None:
        self._database = database

    def execute(self, statement: Executable, *then: Executable) -> int:
        """How many rows `statement` changed; if any, `then` is carried out with it, or neither.

        Raises KeyTaken when that would give one key to two jobs.
        """
        with _reached(), self._database.begin() as connection:
            changed = int(connection.execute(statement).rowcount)
            for another in then if changed else ():
                connection.execute(another)
        return changed

    def insert(self, *gathered: tuple[Table, Sequence[Mapping[str, Any]]]) -> None:
        """All rows into their tables, or none; many at a tenth of what each alone would cost."""
        with _reached(), self._database.begin() as connection:
            for table, rows in gathered:
                if rows:
                    connection.execute(insert(table), rows)

    def rows(self, query: Executable) -> Sequence[Row[Any]]:
        with _reached(), self._database.connect() as connection:
            return connection.execute(query).all()

    def changed(self, statement: Executable) -> Sequence[Row[Any]]:
        """The rows that `statement`, which is to return them, has changed."""
        with _reached(), self._database.begin() as connection:
            return connection.execute(statement).all()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Statements of one's own, carried out together or not at all."""
        with _reached(), self._database.begin() as connection:
            yield connection


def insisted(change: Callable[[], Answer], closing: threading.Event) -> Answer | None:
    """What `change` answers, asked again and again while the database is out of reach.

    None when it is `closing` before the change could be made.
    """
    while True:
        try:
            return change()
        except LedgerUnavailable:
            if closing.is_set():
                log.error("change not kept")
                return None
            time.sleep(AGAIN_AFTER_S)


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise KeyTaken("That key belongs to another job.") from error
    except SQLAlchemyError as error:
        log.warning("database failed", extra={"error": type(error).__name__})
        raise LedgerUnavailable("The database cannot be used now; try again later.") from error
