"""What the parts of the OpenAPI document share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from backend.api.answers import ProblemAnswer
from backend.api.problems import MEDIA_TYPE as PROBLEM

JSON = "application/json"
REASONS = {
    400: "The body or the Idempotency-Key cannot be read",
    401: "No API key, or one that is not valid, where AUTH=keys",
    403: "The API key has not the scope, or not the checkpoint",
    404: "No such image or job",
    409: "Canceled while it ran, or the first request with that Idempotency-Key still runs",
    410: "The image was deleted or evicted",
    413: "Too many bytes or pixels",
    415: "A type of body that is not read",
    422: "A value is wrong, and `errors` names the field; more than the whole budget is asked for; "
    "or the Idempotency-Key came before with another request",
    429: "Over a limit, a budget or the jobs at once; Retry-After says when to come back",
    502: "The engine failed, or made something else than was asked",
    503: "Nothing can serve, or the queue is full; Retry-After says when to come back",
    504: "Not done in time",
    507: "The image could not be stored, and only a URL was asked for",
}
"""What each status of a problem means."""
KEYED = (401, 403)
"""What a route that needs a key may answer beside its own problems."""
OPEN: dict[str, Any] = {"security": []}
"""In an operation that never needs a key."""
SECURITY_SCHEMES: dict[str, Any] = {
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer", "description": "The API key as token"},
    "basic": {"type": "http", "scheme": "basic", "description": "The API key as password"},
}
SECURITY: list[dict[str, list[str]]] = [{"key": []}, {"bearer": []}, {"basic": []}, {}]
"""Any of the schemes, or none where AUTH is not keys."""


def ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def problems(statuses: Iterable[int]) -> dict[str, Any]:
    content = {PROBLEM: {"schema": ref(ProblemAnswer)}}
    return {
        str(status): {"description": REASONS[status], "content": content} for status in statuses
    }
