"""The keys as this process knows them, so that a request does not wait for the database."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from backend.accounts.keys import ApiKey, digest_of, id_in

FRESH_S = 2.0
"""What was read longer ago than this is read again before it is believed."""
STATIC_ID = "env"


class KnownKeys:
    """Finds whose a key is. Methods raise LedgerUnavailable where that cannot be known.

    `read` gives the key of an id, if there is one; `static_text` is the key in the settings.
    """

    def __init__(self, read: Callable[[str], ApiKey | None], static_text: str | None) -> None:
        self._read = read
        self._static = _static_key(static_text) if static_text else None
        self._known: dict[str, tuple[float, ApiKey]] = {}

    def owner_of(self, text: str) -> ApiKey | None:
        """The usable key of which `text` is; None when there is none.

        Before a text is called wrong the key is read anew, for it may be from just now.
        """
        digest = digest_of(text)
        if self._static and self._static.is_opened_by(digest):
            return self._static
        key_id = id_in(text)
        if key_id is None:
            return None
        for find in (self._fresh, self._latest):
            key = find(key_id)
            if key is not None and key.is_usable and key.is_opened_by(digest):
                return key
        return None

    def by_caller(self, caller: str) -> ApiKey | None:
        """The key whose caller that is; None for callers without one."""
        if self._static and caller == self._static.caller:
            return self._static
        kind, _, key_id = caller.partition(":")
        return self._fresh(key_id) if kind == "key" else None

    def _fresh(self, key_id: str) -> ApiKey | None:
        read_at, key = self._known.get(key_id, (float("-inf"), None))
        return key if time.monotonic() - read_at <= FRESH_S else self._latest(key_id)

    def _latest(self, key_id: str) -> ApiKey | None:
        began = time.monotonic()
        key = self._read(key_id)
        if key is not None:
            self._known[key_id] = (began, key)
        return key


def _static_key(text: str) -> ApiKey:
    return ApiKey(
        id=STATIC_ID,
        name="API_KEY",
        digest=digest_of(text),
        scopes=frozenset({"generate", "read"}),
        created_at=datetime.now(UTC),
    )
