"""Errors as OpenAI's clients read them, so that each becomes an exception of its own there."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response

from backend.compat.openai.translate import NAMES
from backend.errors import Problem

STATUSES = {422: 400}
"""OpenAI knows no 422: a wrong value is a BadRequestError like a body that cannot be read."""
CODES = {
    "rate_limited": "rate_limit_exceeded",
    "unknown_checkpoint": "model_not_found",
    "invalid_body": "invalid_value",
    "invalid_request": "invalid_value",
    "invalid_image": "invalid_value",
}
"""OpenAI's codes where it has one; 401 is always invalid_api_key."""
NOT_AGAIN = frozenset({"still_running", "generation_canceled"})
"""What OpenAI's SDK would ask for once more by itself, and is better not made twice."""


def render(problem: Problem) -> Response:
    """`problem` as {"error": {"message", "type", "param", "code"}}."""
    status = STATUSES.get(problem.status, problem.status)
    body = orjson.dumps({"error": error_of(problem)})
    response = Response(body, status=status, mimetype="application/json")
    if problem.code in NOT_AGAIN:
        response.headers["X-Should-Retry"] = "false"
    return response


def error_of(problem: Problem) -> dict[str, Any]:
    """What stands under "error", in an answer and in an event."""
    wrong = [(NAMES.get(error.field, error.field), error.message) for error in problem.errors]
    error: dict[str, Any] = {
        "message": "; ".join(f"{name}: {message}" for name, message in wrong) or problem.detail,
        "type": _type(problem.status),
        "param": wrong[0][0] if wrong else None,
        "code": _code(problem),
    }
    if problem.job_id:
        error["job_id"] = str(problem.job_id)
    return error


def _code(problem: Problem) -> str:
    if problem.status == 401:
        return "invalid_api_key"
    return CODES.get(problem.code, problem.code)


def _type(status: int) -> str:
    if status >= 500:
        return "server_error"
    return {403: "permission_error", 429: "rate_limit_error"}.get(status, "invalid_request_error")
