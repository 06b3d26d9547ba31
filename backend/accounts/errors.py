"""What a caller is refused for: who he is, what his key allows, how much he asks for."""

from __future__ import annotations


class KeyMissing(Exception):
    """A key is needed, and none was sent."""


class KeyInvalid(Exception):
    """No such key, or no longer."""


class TooManyWrongKeys(Exception):
    """So many wrong keys came from that address that it has to wait."""

    limit = "wrong-keys"

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("Too many wrong API keys came from your address; check yours.")
        self.retry_after_s = retry_after_s


class ScopeMissing(Exception):
    """The key is good, but not for this."""


class CheckpointNotAllowed(Exception):
    """The key is good, but not for that checkpoint."""


class TooManyJobs(Exception):
    """The caller has as many jobs at once as he may."""

    limit = "concurrency"
    retry_after_s = 2.0


class BudgetExceeded(Exception):
    """The caller has spent too much lately; `retry_after_s` is when enough is free again."""

    def __init__(self, message: str, limit: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.limit = limit
        self.retry_after_s = retry_after_s


class TooCostly(Exception):
    """More than the caller's whole budget: it would be refused at any time."""
