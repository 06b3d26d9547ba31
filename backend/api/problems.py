"""Errors as application/problem+json (RFC 9457), or in the shape of another front door."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping

import orjson
from flask import Flask, Response, request
from flask_limiter import RateLimitExceeded
from werkzeug.exceptions import HTTPException

from backend.accounts.errors import TooManyJobs
from backend.api.translate import job_urls
from backend.errors import INTERNAL, Problem, problem_of
from backend.metrics import Metrics
from backend.rate_limits import RateLimits
from backend.telemetry import request_id

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
DEFAULT_RETRY_AFTER_S = 5
CHALLENGES = ('Bearer realm="sluice"', 'Basic realm="sluice", charset="UTF-8"')
"""The standard ways to send an API key (RFC 9110, 11.6.1); X-API-Key is the other."""

Render = Callable[[Problem], Response]


def init_app(
    app: Flask, limits: RateLimits, metrics: Metrics, shapes: Mapping[str, Render]
) -> None:
    """Render whatever a view of `app` raises.

    `shapes` says how below which path ("/sdapi/"), also where there is no such route; problem+json
    everywhere else. Retry-After is added here, on 429 and 503 alone, and WWW-Authenticate on 401;
    refusals are counted.
    """

    def answer(problem: Problem) -> Response:
        shaped = (shape for path, shape in shapes.items() if request.path.startswith(path))
        response = next(shaped, render)(problem)
        if problem.limit is not None:
            metrics.rejected(problem.limit)
        if problem.status in (429, 503):
            wait_s = problem.retry_after_s or DEFAULT_RETRY_AFTER_S
            response.headers["Retry-After"] = str(max(1, math.ceil(wait_s)))
        if problem.status == 401:
            for challenge in CHALLENGES:
                response.headers.add("WWW-Authenticate", challenge)
        return response

    def over_limit(error: RateLimitExceeded) -> Response:
        return answer(limits.problem_of(error))

    def without_a_place(error: TooManyJobs) -> Response:
        limits.give_back()
        return answer(problem_of(error))

    def http_error(error: HTTPException) -> Response:
        response = answer(problem_of(error))
        if error.code == 405 and error.valid_methods:  # type: ignore[attr-defined]
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods))  # type: ignore[attr-defined]
        return response

    def other_error(error: Exception) -> Response:
        problem = problem_of(error)
        if problem is INTERNAL:
            log.exception("unexpected error")
        return answer(problem)

    app.register_error_handler(RateLimitExceeded, over_limit)
    app.register_error_handler(TooManyJobs, without_a_place)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Exception, other_error)


def render(problem: Problem) -> Response:
    """`problem` as application/problem+json."""
    body: dict[str, object] = {
        "type": f"urn:sluice:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "error": problem.detail,
        "code": problem.code,
        "request_id": request_id(),
    }
    if problem.errors:
        body["errors"] = list(problem.errors)
    if problem.job_id:
        body |= {"job_id": str(problem.job_id), "urls": job_urls(problem.job_id)}
    return Response(orjson.dumps(body), status=problem.status, mimetype=MEDIA_TYPE)
