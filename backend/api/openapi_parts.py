"""What the parts of the OpenAPI document share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from backend.api.problems import MEDIA_TYPE as PROBLEM
from backend.api.schemas import ProblemAnswer

JSON = "application/json"
REASONS = {
    400: "The body or the Idempotency-Key cannot be read",
    404: "No such image or job",
    409: "Canceled while it ran, or the first request with that Idempotency-Key still runs",
    410: "The image was deleted or evicted",
    413: "Too many bytes or pixels",
    415: "A type of body that is not read",
    422: "A value is wrong, and `errors` names the field; or the Idempotency-Key came before "
    "with another request",
    429: "Over a limit; Retry-After says when to come back",
    502: "The engine failed, or made something else than was asked",
    503: "Nothing can serve, or the queue is full; Retry-After says when to come back",
    504: "Not done in time",
    507: "The image could not be stored, and only a URL was asked for",
}
"""What each status of a problem means."""


def ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def problems(statuses: Iterable[int]) -> dict[str, Any]:
    content = {PROBLEM: {"schema": ref(ProblemAnswer)}}
    return {
        str(status): {"description": REASONS[status], "content": content} for status in statuses
    }
