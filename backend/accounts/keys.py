"""API keys: what one allows, and the text that its holder sends."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

Scope = Literal["generate", "read", "admin"]
SCOPES: tuple[Scope, ...] = ("generate", "read", "admin")

_ID_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_ID_LENGTH = 8
_SECRET_BYTES = 32
_TEXT = re.compile(r"slk_([a-z2-7]{8})_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key without its text, of which only `digest` is known. Times are UTC.

    No `checkpoints` means all. `requests` is a
    rate limit ("100/minute;1000/hour"), budgets are megapixel-steps, `max_jobs` is how many
    may be queued or running; None stands for what the settings say, 0 for no limit.
    `old_digest` is of the text before the last rotation, good until `old_until`.
    """

    id: str
    name: str
    digest: str = field(repr=False)
    scopes: frozenset[Scope]
    checkpoints: tuple[str, ...] = ()
    requests: str | None = None
    max_jobs: int | None = None
    budget_hour: float | None = None
    budget_day: float | None = None
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    old_digest: str | None = field(default=None, repr=False)
    old_until: datetime | None = None

    @property
    def caller(self) -> str:
        """The name under which limits, jobs and results are kept."""
        return f"key:{self.id}"

    @property
    def is_usable(self) -> bool:
        return self.revoked_at is None and not _is_past(self.expires_at)

    def may(self, scope: Scope) -> bool:
        """Whether it has `scope`, or one that includes it.

        Who may generate may read: his own jobs, to see them end, and what there is to choose
        from. Whoever may only read makes nothing.
        """
        return scope in self.scopes or (scope == "read" and "generate" in self.scopes)

    def is_opened_by(self, digest: str) -> bool:
        """Whether `digest` is of its text, found out in a time that does not depend on it."""
        fits = hmac.compare_digest(self.digest, digest)
        fitted = hmac.compare_digest(self.old_digest or "", digest)
        return fits or (fitted and self.old_until is not None and not _is_past(self.old_until))


def new_id() -> str:
    return "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))


def new_text(key_id: str) -> str:
    """What the holder of that key sends: its id and 256 random bits, 56 characters."""
    return f"slk_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def id_in(text: str) -> str | None:
    """The id of the key that `text` claims to be of; None when it cannot be of any."""
    found = _TEXT.fullmatch(text)
    return found[1] if found else None


def digest_of(text: str) -> str:
    """SHA-256 in hexadecimal. A slow hash guards guessable words; nobody guesses 256 bits."""
    return hashlib.sha256(text.encode()).hexdigest()


def _is_past(time: datetime | None) -> bool:
    return time is not None and time <= datetime.now(UTC)
