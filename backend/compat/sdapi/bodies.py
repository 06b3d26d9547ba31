"""Reading a body as FastAPI does: what is no JSON object is a wrong value like any other."""

from __future__ import annotations

from typing import Any

from flask import Request

from backend.api.bodies import read_json
from backend.errors import FieldError, InvalidBody, UnreadableBody


class UnreadableJson(InvalidBody):
    """The body is no JSON object; its one error is at the character where that shows."""

    def __init__(self, found: UnreadableBody) -> None:
        at = "body" if found.position is None else str(found.position)
        super().__init__([FieldError(at, "JSON decode error")])
        self.args = found.args


def read_body(request: Request, max_bytes: int) -> dict[str, Any]:
    """The members of a JSON body. Raises UnreadableJson, BodyTooLarge or UnsupportedBody."""
    try:
        return read_json(request, max_bytes)
    except UnreadableBody as error:
        raise UnreadableJson(error) from None
