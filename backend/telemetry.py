"""Request ids, one log line for each request, and how long its parts took."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from contextlib import suppress
from typing import Any

import orjson
import structlog
from flask import Flask, Response, g

from ai.correlation import Correlation, current, set_current
from backend.callers import caller_of
from backend.here import kept, served
from backend.jobs.live import GenerationResult
from backend.metrics import Metrics
from backend.settings import Settings
from backend.tracing import TRACEPARENT, Tracing

log = structlog.get_logger()

REQUEST_ID_HEADER = "X-Request-ID"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
QUIET = frozenset({"health", "metrics"})
"""Blueprints whose requests are logged at debug: machines ask them every few seconds."""


def logs_json(settings: Settings) -> bool:
    """Whether machines read what this process prints: then it is JSON lines and nothing else."""
    return settings.log_format == "json" or (
        settings.log_format == "auto" and not sys.stderr.isatty()
    )


class _Lines(structlog.WriteLogger):
    """Lines to a file. One that cannot be written is dropped: what it tells of goes on."""

    def msg(self, message: str) -> None:
        with suppress(OSError):
            super().msg(message)

    log = debug = info = warning = error = critical = exception = msg


def configure_logging(settings: Settings) -> None:
    """Send every log record of this process to standard error, as JSON lines or readable.

    structlog's own go there at once, for a third of what it costs through `logging`; records
    of that (ours in `ai`, gunicorn's) and warnings come to look the same.
    """
    level = settings.log_level.upper()
    added: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendered = _json_renderers() if logs_json(settings) else [structlog.dev.ConsoleRenderer()]
    structlog.configure(
        processors=[*added, *rendered],
        logger_factory=lambda *_: _Lines(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *added],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for noisy in ("urllib3", "PIL", "flask-limiter", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    server = logging.getLogger("gunicorn.error")
    server.handlers, server.propagate = [], True
    logging.captureWarnings(True)


def init_app(app: Flask, metrics: Metrics, tracing: Tracing) -> None:
    """Give each request of `app` an id and an end: a log line, metrics, Server-Timing, a span."""
    app.before_request(lambda: _begin(tracing))
    app.after_request(lambda response: _end(response, metrics))


def request_id() -> str:
    """The id of the request being served: the caller's own when it is a sane one."""
    return str(g.get("request_id", "-"))


def add_timing(name: str, seconds: float) -> None:
    """Tell the caller, in Server-Timing, how long a part of his request took."""
    timings = kept().timings
    timings[name] = timings.get(name, 0.0) + seconds


def note_made(result: GenerationResult) -> None:
    """Tell the log and the caller how long the parts of making `result` took."""
    if result.cached:
        g.log_fields = {"cached": True}
        return
    add_timing("queue", result.outcome.queue_s)
    add_timing("engine", result.outcome.engine_s)


def elapsed_s() -> float:
    """Seconds since the request being served arrived."""
    return time.perf_counter() - float(kept().started)


def _begin(tracing: Tracing) -> None:
    here, headers = kept(), served().headers
    here.started = time.perf_counter()
    here.timings = {}
    asked = headers.get(REQUEST_ID_HEADER, "")
    here.request_id = asked if _REQUEST_ID.fullmatch(asked) else os.urandom(16).hex()
    traced = headers.get("traceparent", "")
    here.span = tracing.request(traced if TRACEPARENT.fullmatch(traced) else None)
    told = Correlation(here.request_id, here.span.traceparent)
    set_current(told)
    structlog.contextvars.clear_contextvars()
    named = {"request_id": here.request_id, "trace_id": told.trace_id}
    structlog.contextvars.bind_contextvars(**{name: id_ for name, id_ in named.items() if id_})


def _end(response: Response, metrics: Metrics) -> Response:
    here, request = kept(), served()
    if "started" not in here:
        return response
    duration = elapsed_s()
    timings = here.timings
    timings["gateway"] = max(0.0, duration - sum(timings.values()))
    response.headers[REQUEST_ID_HEADER] = here.request_id
    response.headers["Server-Timing"] = ", ".join(
        [f"{name};dur={seconds * 1000:.1f}" for name, seconds in timings.items()]
    )
    route = request.url_rule.rule if request.url_rule else "none"
    status = response.status_code
    exemplar = current().exemplar
    metrics.request_served(route, request.method, status, duration, timings, exemplar)
    level = logging.DEBUG if request.blueprint in QUIET and status < 500 else logging.INFO
    log.log(
        level,
        "request",
        method=request.method,
        route=route,
        status=status,
        duration_ms=round(duration * 1000, 1),
        caller=caller_of(request),
        **{f"{name}_ms": round(seconds * 1000, 1) for name, seconds in timings.items()},
        **here.get("log_fields", {}),
    )
    here.span.end(route, request.method, status)
    return response


def _json_renderers() -> list[Any]:
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(
            serializer=lambda event, **_: orjson.dumps(event, default=str).decode()
        ),
    ]
