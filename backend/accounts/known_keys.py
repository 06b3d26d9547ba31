"""The keys as this process knows them, so that a request does not wait for the database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from backend.accounts.keys import ApiKey, digest_of, id_in

FRESH_S = 2.0
"""What was read longer ago than this is read again before it is believed."""
STATIC_ID = "env"


class KnownKeys:
    """Finds whose a key is. Methods raise LedgerUnavailable where that cannot be known.

    `read` gives the key of an id, if there is one, `read_ids` those there are; `static_text` is
    the key in the settings.
    """

    def __init__(
        self,
        read: Callable[[str], ApiKey | None],
        read_ids: Callable[[], frozenset[str]],
        static_text: str | None,
    ) -> None:
        self._read = read
        self._read_ids = read_ids
        self._static = _static_key(static_text) if static_text else None
        self._known: dict[str, tuple[float, ApiKey]] = {}
        self._ids: tuple[float, frozenset[str]] = (float("-inf"), frozenset())
        self._listing = threading.Lock()

    def owner_of(self, text: str, *, anew: bool = True) -> ApiKey | None:
        """The usable key of which `text` is; None when there is none.

        Before a text is called wrong the key is read anew, for it may be from just now. Unless
        `anew`: then it is seen FRESH_S later, and however many texts are tried, what there is
        is read once in that time.
        """
        digest = digest_of(text)
        if self._static and self._static.is_opened_by(digest):
            return self._static
        key_id = id_in(text)
        if key_id is None:
            return None
        for find in (self._fresh, self._latest) if anew else (self._listed,):
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

    def _listed(self, key_id: str) -> ApiKey | None:
        with self._listing:
            read_at, ids = self._ids
            if time.monotonic() - read_at > FRESH_S:
                self._ids = read_at, ids = time.monotonic(), self._read_ids()
            return self._fresh(key_id) if key_id in ids else None

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
