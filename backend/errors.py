"""One table: what went wrong -> the status it answers with. The code is the class's own name.

Front doors render a `Problem` in their own shape; none decides a status itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from uuid import UUID

from werkzeug.exceptions import HTTPException

from ai import errors as ai_errors
from backend.accounts import errors as account_errors
from backend.jobs.codec import PictureLost
from backend.jobs.idempotency import IdempotencyConflict, IdempotencyKeyReused
from backend.jobs.records import Interrupted, LedgerUnavailable
from backend.storage.base import StorageError, StorageFull


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field, by its name on the wire."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What a caller is told: `detail` in words, `code` for programs, `errors` by field.

    `job_id` is of the job that goes on all the same, `limit` the bound that refused it.
    """

    status: int
    code: str
    title: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    retry_after_s: float | None = None
    job_id: UUID | None = None
    limit: str | None = None


class InvalidBody(Exception):
    """The body could be read but its values are wrong; `errors` names each."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))
        self.errors = tuple(errors)


class UnreadableBody(Exception):
    """The body is not what its Content-Type says, from the character at `position` on if known."""

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class UnsupportedBody(Exception):
    """A Content-Type or Content-Encoding that this route does not read."""


class BodyTooLarge(Exception):
    """More bytes than this route reads."""


class ImageNotFound(Exception):
    """No image is kept under that id."""


class ImageGone(Exception):
    """There was an image under that id, which is no longer kept."""


class ModelNotFound(Exception):
    """No engine has a checkpoint of that name."""


class InvalidIdempotencyKey(Exception):
    """An Idempotency-Key that is none."""


class JobNotFound(Exception):
    """The caller has no job under that id."""


class StillRunning(Exception):
    """Not done in the time a request waits; the job `job_id` goes on."""

    def __init__(self, job_id: UUID, waited_s: float) -> None:
        super().__init__(f"Not done within {waited_s:g} s; the job goes on, ask for it later.")
        self.job_id = job_id


class JobOver(Exception):
    """The job has ended, so that it cannot be canceled."""


class TooManyFetches(Exception):
    """No more pictures can be fetched from URLs now."""

    retry_after_s = 5.0


class TooManyWaiting(Exception):
    """As many callers wait on connections as there are threads for."""

    limit = "waiting"
    retry_after_s = 10.0


class TooManyWatchers(Exception):
    """No more can watch jobs now."""

    limit = "watchers"
    retry_after_s = 10.0


class KeptFailure(Exception):
    """A job failed in another process, which kept this `code` and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


STATUS: dict[type[Exception], tuple[int, str]] = {
    ai_errors.ImageTooLarge: (413, "Picture too large"),
    ai_errors.InvalidRequest: (422, "Invalid request"),
    ai_errors.QueueFull: (503, "Queue full"),
    ai_errors.DeadlineExceeded: (504, "Deadline exceeded"),
    ai_errors.GenerationCanceled: (409, "Generation canceled"),
    ai_errors.EngineTimeout: (504, "Engine timeout"),
    ai_errors.EngineUnavailable: (503, "No engine available"),
    ai_errors.EngineError: (502, "Engine failed"),
    StorageFull: (507, "Storage full"),
    StorageError: (503, "Storage unavailable"),
    account_errors.KeyMissing: (401, "API key needed"),
    account_errors.KeyInvalid: (401, "API key not valid"),
    account_errors.TooManyWrongKeys: (429, "Too many wrong API keys"),
    account_errors.ScopeMissing: (403, "Not allowed to this API key"),
    account_errors.CheckpointNotAllowed: (403, "Checkpoint not allowed"),
    account_errors.TooManyJobs: (429, "Too many jobs"),
    account_errors.BudgetExceeded: (429, "Budget exceeded"),
    account_errors.TooCostly: (422, "Too costly"),
    InvalidBody: (422, "Invalid request"),
    UnreadableBody: (400, "Unreadable request"),
    UnsupportedBody: (415, "Unsupported media type"),
    BodyTooLarge: (413, "Request too large"),
    ImageNotFound: (404, "Image not found"),
    ImageGone: (410, "Image gone"),
    ModelNotFound: (404, "Model not found"),
    InvalidIdempotencyKey: (400, "Invalid idempotency key"),
    IdempotencyConflict: (409, "Still at work"),
    IdempotencyKeyReused: (422, "Idempotency key reused"),
    JobNotFound: (404, "Job not found"),
    JobOver: (409, "Job over"),
    StillRunning: (504, "Still running"),
    Interrupted: (503, "Interrupted"),
    PictureLost: (410, "Picture lost"),
    TooManyFetches: (503, "Too many fetches"),
    TooManyWaiting: (503, "Too many waiting"),
    TooManyWatchers: (503, "Too many watchers"),
    LedgerUnavailable: (503, "Database unavailable"),
}
"""Nearest class first: an exception takes the row of the first of its bases found here."""

INTERNAL = Problem(
    500,
    "internal_error",
    "Internal error",
    "Something went wrong on our side; it has been logged under this request id.",
)


def problem_of(error: Exception) -> Problem:
    """What to tell the caller of `error`; INTERNAL for what the table does not hold."""
    if isinstance(error, HTTPException):
        return _http_problem(error)
    if isinstance(error, KeptFailure):
        return _kept_problem(error)
    for base in type(error).__mro__:
        if base in STATUS:
            status, title = STATUS[base]
            return Problem(
                status,
                snake_case(type(error).__name__),
                title,
                str(error),
                _field_errors(error),
                getattr(error, "retry_after_s", None),
                getattr(error, "job_id", None),
                getattr(error, "limit", None),
            )
    return INTERNAL


def _kept_problem(error: KeptFailure) -> Problem:
    """As it was where it happened, but for what was not kept."""
    for kind in _kinds(*STATUS):
        if snake_case(kind.__name__) == error.code:
            status, title = next(STATUS[base] for base in kind.__mro__ if base in STATUS)
            return Problem(status, error.code, title, str(error))
    return INTERNAL


def _kinds(*bases: type[Exception]) -> Iterator[type[Exception]]:
    for base in bases:
        yield base
        yield from _kinds(*base.__subclasses__())


def snake_case(name: str) -> str:
    """`QueueFull` -> `queue_full`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _field_errors(error: Exception) -> tuple[FieldError, ...]:
    if isinstance(error, ai_errors.InvalidRequest):
        return (FieldError(error.field, error.message),)
    return error.errors if isinstance(error, InvalidBody) else ()


def _http_problem(error: HTTPException) -> Problem:
    status = HTTPStatus(error.code or 500)
    return Problem(
        status,
        status.phrase.lower().replace(" ", "_").replace("-", "_"),
        status.phrase.capitalize(),
        error.description or status.description or status.phrase,
    )
