"""The values of jobs: what is kept of one, and what is told of one that runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from ai.correlation import Correlation, current

Status = Literal["queued", "processing", "succeeded", "failed", "canceled"]
STATUSES: tuple[Status, ...] = ("queued", "processing", "succeeded", "failed", "canceled")
ENDED: frozenset[Status] = frozenset({"succeeded", "failed", "canceled"})
UNFINISHED: frozenset[Status] = frozenset(STATUSES) - ENDED


@dataclass(frozen=True, slots=True)
class Claim:
    """A request that is to be answered but once: it is told from others by `key`.

    `fingerprint` is of all that was asked, `status` what it answers with: 202 as soon as
    the job is accepted, or 200 once it is done.
    """

    key: str
    fingerprint: str
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a caller asks of a job beside its pictures.

    `fresh`: made anew, come what may. `webhook_url` is told when the job has ended.
    `correlation` is of the request that it came with, by default the one this thread serves.
    """

    fresh: bool = False
    claim: Claim | None = None
    webhook_url: str | None = None
    correlation: Correlation = field(default_factory=current)


NO_TERMS = Terms()


class KeyTaken(Exception):
    """The key of a claim belongs to another job already."""


class Interrupted(Exception):
    """The service stopped while it worked on the job."""


class LedgerUnavailable(Exception):
    """The database cannot be used now. The message is for callers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is kept of a generation. Times are UTC.

    `request` is the generation as `codec` writes it. `detached` says that nobody waits on
    an open connection for it: it outlives its caller's going away, and a restart, which one
    that is for workers does in any case. `runs`
    counts how often it was started, `attempts` the engines asked, those that were at work
    when the service stopped included.
    `result` is there once it succeeded, `error_code` and `error_message` once it failed.
    `fingerprint` is of the request and the weights used, where others may have the result too.
    `request_id` and `traceparent` are of the request it came with.
    `fresh`: it is not to be answered with what was made for another. `owner` is the worker
    that has it, until `lease_until` unless that is renewed.
    """

    id: UUID
    caller: str
    kind: str
    status: Status
    detached: bool
    request: Mapping[str, Any] = field(repr=False)
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    runs: int = 0
    attempts: int = 0
    engine: str | None = None
    result: Mapping[str, Any] | None = field(default=None, repr=False)
    error_code: str | None = None
    error_message: str | None = None
    queue_s: float | None = None
    engine_s: float | None = None
    fingerprint: str | None = None
    request_id: str | None = None
    traceparent: str | None = None
    fresh: bool = False
    owner: UUID | None = None
    lease_until: datetime | None = None

    @property
    def correlation(self) -> Correlation:
        return Correlation(self.request_id, self.traceparent)

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


def seconds_waited(job: Job) -> float:
    """How long it has been waiting for its first start; 0 once it was started."""
    since = (datetime.now(UTC) - job.created_at).total_seconds()
    return 0.0 if job.runs else max(0.0, since)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a job ended, to be kept. Either `result` or the two `error_` fields are there."""

    status: Status
    attempts: int = 0
    engine: str | None = None
    result: Mapping[str, Any] | None = None
    error_code: str | None = None
    error_message: str | None = None
    queue_s: float | None = None
    engine_s: float | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A job that has not ended, as it is now. `fraction` is 0 to 1, times are seconds."""

    status: Status
    position: int | None = None
    eta_s: float | None = None
    fraction: float = 0.0
    step: int = 0
    steps: int = 0
    preview: bytes | None = field(default=None, repr=False)
