"""Errors in OpenAI's shape: statuses, types and codes that its SDK tells apart."""

from __future__ import annotations

from uuid import uuid4

import orjson
import pytest

from backend.compat.openai.problems import render
from backend.errors import FieldError, Problem


@pytest.mark.parametrize(
    ("status", "code", "answered", "kind", "told"),
    [
        (401, "key_missing", 401, "invalid_request_error", "invalid_api_key"),
        (403, "scope_missing", 403, "permission_error", "scope_missing"),
        (404, "not_found", 404, "invalid_request_error", "not_found"),
        (422, "invalid_image", 400, "invalid_request_error", "invalid_value"),
        (422, "unknown_checkpoint", 400, "invalid_request_error", "model_not_found"),
        (413, "image_too_large", 413, "invalid_request_error", "image_too_large"),
        (429, "rate_limited", 429, "rate_limit_error", "rate_limit_exceeded"),
        (500, "internal_error", 500, "server_error", "internal_error"),
        (503, "queue_full", 503, "server_error", "queue_full"),
    ],
)
def test_each_problem_has_openai_s_status_type_and_code(
    status: int, code: str, answered: int, kind: str, told: str
) -> None:
    response = render(Problem(status, code, "Title", "What happened."))
    assert response.status_code == answered
    assert orjson.loads(response.data) == {
        "error": {"message": "What happened.", "type": kind, "param": None, "code": told}
    }
    assert "X-Should-Retry" not in response.headers


def test_a_wrong_field_goes_by_openai_s_name() -> None:
    wrong = (FieldError("batch_size", "too many"), FieldError("width", "too wide"))
    error = orjson.loads(render(Problem(422, "invalid_body", "", "", wrong)).data)["error"]
    assert (error["param"], error["message"]) == ("n", "n: too many; size: too wide")


def test_a_job_that_goes_on_is_named_and_not_to_be_asked_for_again() -> None:
    job_id = uuid4()
    response = render(Problem(504, "still_running", "", "It goes on.", job_id=job_id))
    assert response.headers["X-Should-Retry"] == "false"
    assert orjson.loads(response.data)["error"]["job_id"] == str(job_id)
