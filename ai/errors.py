"""What can go wrong while making an image.

    GenerationError
    ├── InvalidRequest              the request itself; no engine would take it
    │   ├── InvalidImage            not a picture, truncated, of a kind not read
    │   │   └── ImageTooLarge       more bytes or pixels than allowed
    │   ├── UnknownCheckpoint       no engine has it; says which there are
    │   ├── UnknownSampler          likewise
    │   ├── UnknownScheduler        likewise
    │   └── UnsupportedRequest      no engine can do this kind of generation
    ├── QueueFull                   too many wait already
    ├── DeadlineExceeded            not started, or not done, in its time
    ├── GenerationCanceled          its caller called it off
    └── EngineError                 an engine let us down
        ├── EngineUnavailable       refused, starting up or gone: nothing ran there
        │   └── NoEngine            nothing at all can serve now
        │       └── ShuttingDown    this service is going: ask the next one
        ├── EngineLost              the connection broke while it may have been at work
        ├── EngineTimeout           it took longer than it was given
        ├── EngineRefused           it answered 4xx: our credentials or our request
        ├── EngineFailed            it crashed: 5xx
        │   ├── EngineOutOfMemory
        │   └── EngineMadeNan       the numbers overflowed; often another engine can
        └── WrongResult             200, but not what was asked
            └── WrongCheckpoint     made with other weights

Messages are for callers: what happened, to whom, what to do. They hold no address, path,
credential or upstream's own text.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar


class GenerationError(Exception):
    """Base of everything raised by `ai`."""


class InvalidRequest(GenerationError):
    """`field` (its name on the wire) holds a value that makes no sense: `message`."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class InvalidImage(InvalidRequest):
    """The bytes are no picture we read, or a broken one."""


class ImageTooLarge(InvalidImage):
    """More bytes or pixels than allowed."""


class _NotOffered(InvalidRequest):
    """A name that no engine offers; `available` lists those there are."""

    noun: ClassVar[str]
    wire_field: ClassVar[str]

    def __init__(self, name: str, available: Sequence[str]) -> None:
        offered = ", ".join(available) or "none"
        super().__init__(self.wire_field, f"no {self.noun} {name!r} here; available: {offered}")
        self.available = tuple(available)


class UnknownCheckpoint(_NotOffered):
    noun = "checkpoint"
    wire_field = "model"


class UnknownSampler(_NotOffered):
    noun = "sampler"
    wire_field = "sampler_name"


class UnknownScheduler(_NotOffered):
    noun = "scheduler"
    wire_field = "scheduler"


class UnsupportedRequest(InvalidRequest):
    """No engine here does this kind of generation; `missing` are the abilities it lacks."""

    def __init__(self, field: str, message: str, missing: Collection[str] = ()) -> None:
        super().__init__(field, message)
        self.missing = frozenset(missing)


class QueueFull(GenerationError):
    """Too many wait; `retry_after_s` is when a place is likely, from the measured rate.

    `limit` says which bound was met: the queue's, or the caller's share of it.
    """

    def __init__(self, message: str, retry_after_s: float, limit: str = "queue") -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.limit = limit


class DeadlineExceeded(GenerationError):
    """Not started, or not finished, in the time allowed."""


class GenerationCanceled(GenerationError):
    """Called off by its caller."""


class EngineError(GenerationError):
    """`engine` let us down. `elsewhere` says whether another engine may be asked instead."""

    elsewhere: ClassVar[bool] = True

    def __init__(self, engine: str, message: str) -> None:
        super().__init__(message)
        self.engine = engine


class EngineUnavailable(EngineError):
    """Refused, starting up or gone: nothing ran there."""


class NoEngine(EngineUnavailable):
    """No engine at all can serve now; `retry_after_s` is when one is next tried."""

    def __init__(self, message: str, retry_after_s: float = 5.0) -> None:
        super().__init__("", message)
        self.retry_after_s = retry_after_s


class ShuttingDown(NoEngine):
    """The pool is closing: it takes nothing more, and gives up what it has not done."""

    def __init__(self) -> None:
        super().__init__("The service is shutting down; try again later.")


class EngineLost(EngineError):
    """The connection broke after the request was sent: it may have run, it will not answer."""


class EngineTimeout(EngineError):
    """It took longer than it was given; asking another would take as long again."""

    elsewhere = False


class EngineRefused(EngineError):
    """It answered 4xx. Asking elsewhere would only repeat our mistake."""

    elsewhere = False


class EngineFailed(EngineError):
    """It crashed at work."""


class EngineOutOfMemory(EngineFailed):
    """It ran out of memory, which it may not give back for a while."""


class EngineMadeNan(EngineFailed):
    """Its numbers overflowed and no picture came of it."""


class WrongResult(EngineError):
    """It answered, but not with what was asked."""


class WrongCheckpoint(WrongResult):
    """It used other weights than those asked for."""
