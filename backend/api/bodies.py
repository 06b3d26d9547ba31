"""Reading a request's body: JSON or multipart/form-data, bounded while it is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from types import NoneType
from typing import IO, Any, get_args

import orjson
from flask import Request
from pydantic import BaseModel
from werkzeug.exceptions import RequestEntityTooLarge

from backend.errors import BodyTooLarge, UnreadableBody, UnsupportedBody

FORM_FIELDS_BYTES = 256 * 1024
"""All that a body says beside its pictures: two prompts of 4,000 four-byte characters, escaped."""

BASE64_GROWTH = 4 / 3
MAX_PARTS = 40


class BoundedRequest(Request):
    """Keeps uploaded files in memory, where Content-Length bounds them, never on disk."""

    max_form_memory_size = FORM_FIELDS_BYTES
    max_form_parts = MAX_PARTS

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        return BytesIO()


def body_limit(body: type[BaseModel], max_image_bytes: int) -> int:
    """The most bytes a request of this kind may have: its pictures in base64, and its words."""
    pictures = sum(name in body.model_fields for name in ("image", "mask"))
    return bytes_for(pictures, max_image_bytes)


def bytes_for(pictures: int, max_image_bytes: int) -> int:
    """The most bytes of a body with so many pictures in base64, and its words."""
    return int(pictures * max_image_bytes * BASE64_GROWTH) + FORM_FIELDS_BYTES


def read_json(request: Request, max_bytes: int) -> dict[str, Any]:
    """The members of a JSON body, unvalidated, whatever Content-Type it has.

    Raises BodyTooLarge as soon as `max_bytes` are passed, UnsupportedBody for a compressed
    body, UnreadableBody for broken JSON.
    """
    with _bounded(request, max_bytes):
        return _json_values(_whole_body(request))


def read_values(request: Request, body: type[BaseModel], max_bytes: int) -> dict[str, Any]:
    """The fields a caller sent, unvalidated.

    Raises BodyTooLarge as soon as `max_bytes` are passed, UnsupportedBody for another
    Content-Type or a compressed body, UnreadableBody for broken JSON.
    """
    with _bounded(request, max_bytes):
        if request.mimetype == "multipart/form-data":
            return _form_values(request, body)
        if request.is_json:
            return _json_values(_whole_body(request))
    raise UnsupportedBody("Send application/json or multipart/form-data.")


@contextmanager
def _bounded(request: Request, max_bytes: int) -> Iterator[None]:
    request.max_content_length = max_bytes
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedBody("Send the body uncompressed, without Content-Encoding.")
    try:
        yield
    except RequestEntityTooLarge:
        raise BodyTooLarge(
            f"The body may have {max_bytes} bytes, and {FORM_FIELDS_BYTES} beside its pictures."
        ) from None


def _whole_body(request: Request) -> bytes:
    data = request.stream.read()
    # At its limit a body without a length just ends; only reading on tells that there was more.
    request.stream.read(1)
    return data


def _json_values(data: bytes) -> dict[str, Any]:
    try:
        values = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UnreadableBody(
            f"The body is not JSON: {error.msg} at character {error.pos}.", error.pos
        ) from None
    if not isinstance(values, dict):
        raise UnreadableBody("The body must be a JSON object.")
    return values


def _form_values(request: Request, body: type[BaseModel]) -> dict[str, Any]:
    values: dict[str, Any] = {
        name: _form_value(body, name, text) for name, text in request.form.items()
    }
    for name, file in request.files.items():
        values[name] = file.stream.read()
    if not values:
        raise UnreadableBody("The form has no fields; is its boundary right?")
    return values


def _form_value(body: type[BaseModel], name: str, text: str) -> object:
    """A form knows only text: numbers and truths are read as JSON would write them."""
    field = body.model_fields.get(name)
    if field is None or not _types(field.annotation) <= {int, float, bool, NoneType}:
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _types(annotation: Any) -> set[Any]:
    return set(get_args(annotation)) or {annotation}
