"""The API keys in the database."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Row, insert, or_, select, update

from backend.accounts.keys import ApiKey, digest_of, new_id, new_text
from backend.accounts.tables import api_keys
from backend.jobs.access import Access


class KeyRegister:
    """Makes, changes and lists keys. Every method may raise LedgerUnavailable."""

    def __init__(self, database: Engine) -> None:
        self._access = Access(database)

    def add(self, draft: ApiKey) -> tuple[ApiKey, str]:
        """Keep `draft` under an id and with a text of its own, which is told only here."""
        key_id = new_id()
        text = new_text(key_id)
        key = replace(draft, id=key_id, digest=digest_of(text))
        self._access.execute(insert(api_keys).values(_row(key)))
        return key, text

    def rotate(self, key_id: str, grace: timedelta) -> str | None:
        """A new text for the key, the one before good for `grace` still.

        None, and nothing changes, where there is no such key or it was revoked or has expired.
        """
        now, text = datetime.now(UTC), new_text(key_id)
        changed = self._access.execute(
            update(api_keys)
            .where(
                api_keys.c.id == key_id,
                api_keys.c.revoked_at.is_(None),
                or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now),
            )
            .values(old_digest=api_keys.c.digest, old_until=now + grace, digest=digest_of(text))
        )
        return text if changed else None

    def revoke(self, key_id: str) -> bool:
        """End the key for good; False when there is none, or it was ended before."""
        changed = self._access.execute(
            update(api_keys)
            .where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
            .values(revoked_at=datetime.now(UTC))
        )
        return bool(changed)

    def all(self) -> list[ApiKey]:
        """Every key there ever was, oldest first."""
        return [_key(row) for row in self._access.rows(select(api_keys).order_by("created_at"))]

    def ids(self) -> frozenset[str]:
        """Of all keys that were not revoked."""
        query = select(api_keys.c.id).where(api_keys.c.revoked_at.is_(None))
        return frozenset(row.id for row in self._access.rows(query))

    def get(self, key_id: str) -> ApiKey | None:
        rows = self._access.rows(select(api_keys).where(api_keys.c.id == key_id))
        return _key(rows[0]) if rows else None


def _row(key: ApiKey) -> dict[str, Any]:
    return asdict(key) | {"scopes": sorted(key.scopes), "checkpoints": list(key.checkpoints)}


def _key(row: Row[Any]) -> ApiKey:
    columns = dict(row._mapping)
    columns["scopes"] = frozenset(columns["scopes"])
    columns["checkpoints"] = tuple(columns["checkpoints"])
    return ApiKey(**columns)
