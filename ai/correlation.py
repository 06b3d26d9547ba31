"""What a generation's caller, our records and the upstream's can find each other by.

`current()` is of the request that this thread takes in, or the generation it is making: an
engine that sends over HTTP tells its upstream.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

_MAX_EXEMPLAR_CHARS = 128
"""Of names and values together (OpenMetrics 1.0, exemplars)."""


@dataclass(frozen=True, slots=True)
class Correlation:
    """`request_id` is the caller's or ours, `traceparent` of a trace (W3C Trace Context)."""

    request_id: str | None = None
    traceparent: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What an upstream is told."""
        told = {"X-Request-ID": self.request_id, "traceparent": self.traceparent}
        return {name: value for name, value in told.items() if value is not None}

    @property
    def trace_id(self) -> str | None:
        return self.traceparent.split("-")[1] if self.traceparent else None

    @property
    def exemplar(self) -> dict[str, str] | None:
        """What an observation is to be found by; None where there is nothing, or too much."""
        told = {"trace_id": self.trace_id, "request_id": self.request_id}
        labels = {name: value for name, value in told.items() if value is not None}
        size = len("".join((*labels, *labels.values())))
        return labels if 0 < size <= _MAX_EXEMPLAR_CHARS else None


NOBODY = Correlation()
_CURRENT = ContextVar("correlation", default=NOBODY)


def current() -> Correlation:
    """Of what this thread does now; NOBODY where that is nobody's in particular."""
    return _CURRENT.get()


def set_current(correlation: Correlation) -> None:
    """What this thread does from now on belongs to `correlation`."""
    _CURRENT.set(correlation)


@contextmanager
def correlated(correlation: Correlation) -> Iterator[None]:
    """Within it `correlation` is the current one."""
    token = _CURRENT.set(correlation)
    try:
        yield
    finally:
        _CURRENT.reset(token)
