"""Traces over OTLP, when OTEL_EXPORTER_OTLP_ENDPOINT says where to.

The spans of a generation are its request, and below that queue, engine and store. Those who
asked are its parents, and the upstream its child, by the traceparent header (W3C Trace Context).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

from ai.correlation import Correlation
from ai.generation import Work
from ai.pool import Outcome
from backend.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
EXPORT_TIMEOUT_S = 5
NS = 1_000_000_000
SERVER_ERROR = 500


class RequestSpan(Protocol):
    """A request from its arrival to its answer. `traceparent` is what its parts are told."""

    @property
    def traceparent(self) -> str | None: ...

    def end(self, route: str, method: str, status: int) -> None: ...


class Tracing(Protocol):
    """Where spans go."""

    def request(self, traceparent: str | None) -> RequestSpan:
        """Begin the span of a request, whose caller sent `traceparent` or none."""
        ...

    def span(self, name: str, correlation: Correlation) -> AbstractContextManager[None]:
        """A span around a part of the request that `correlation` tells of."""
        ...

    def served(self, request: Work, outcome: Outcome, correlation: Correlation) -> None:
        """Work is done just now: its queue and its engine span, after the fact."""
        ...

    def close(self) -> None:
        """Send what is not sent."""
        ...


class Untraced:
    """Sends nothing; what a caller says of his trace is passed on as it is."""

    def __init__(self, traceparent: str | None = None) -> None:
        self.traceparent = traceparent

    def request(self, traceparent: str | None) -> RequestSpan:
        return Untraced(traceparent)

    def end(self, route: str, method: str, status: int) -> None:
        """Nothing was begun."""

    def span(self, name: str, correlation: Correlation) -> AbstractContextManager[None]:
        return nullcontext()

    def served(self, request: Work, outcome: Outcome, correlation: Correlation) -> None:
        """Nobody is told."""

    def close(self) -> None:
        """Nothing is kept."""


UNTRACED = Untraced()


class OtlpTracing:
    """Sends to the collector at `endpoint` (its base URL), off the road of requests."""

    def __init__(self, endpoint: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        about = Resource.create({"service.name": "sluice", "service.version": VERSION})
        self._provider = TracerProvider(resource=about, shutdown_on_exit=False)
        url = f"{endpoint.rstrip('/')}/v1/traces"
        exporter = OTLPSpanExporter(endpoint=url, timeout=EXPORT_TIMEOUT_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("sluice", VERSION)

    def request(self, traceparent: str | None) -> RequestSpan:
        from opentelemetry.trace import SpanKind

        parent = _context(traceparent)
        return _OpenSpan(self._tracer.start_span("request", parent, kind=SpanKind.SERVER))

    @contextmanager
    def span(self, name: str, correlation: Correlation) -> Iterator[None]:
        parent = _context(correlation.traceparent)
        with self._tracer.start_as_current_span(name, parent, record_exception=False):
            yield

    def served(self, request: Work, outcome: Outcome, correlation: Correlation) -> None:
        parent = _context(correlation.traceparent)
        now = time.time_ns()
        begun = now - round(outcome.engine_s * NS)
        queued = begun - round(outcome.queue_s * NS)
        self._tracer.start_span("queue", parent, start_time=queued).end(begun)
        about: dict[str, str | int | float] = {
            "sluice.engine": outcome.engine,
            "sluice.kind": request.kind,
            "sluice.attempts": outcome.attempts,
            "sluice.megapixel_steps": request.megapixel_steps,
        }
        self._tracer.start_span("engine", parent, attributes=about, start_time=begun).end(now)

    def close(self) -> None:
        self._provider.shutdown()


class _OpenSpan:
    def __init__(self, span: Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        context = self._span.get_span_context()
        flags = int(context.trace_flags)
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"

    def end(self, route: str, method: str, status: int) -> None:
        from opentelemetry.trace import StatusCode

        self._span.update_name(f"{method} {route}")
        self._span.set_attributes(
            {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
            }
        )
        if status >= SERVER_ERROR:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


def _context(traceparent: str | None) -> Context:
    """The remote parent that `traceparent` names; without one a new trace begins."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {"traceparent": traceparent} if traceparent else {}
    return TraceContextTextMapPropagator().extract(carrier, Context())
