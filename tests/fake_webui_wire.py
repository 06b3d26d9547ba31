"""The fake WebUI's answers and errors, in the shapes Forge, Automatic1111 and sd.cpp give."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import orjson

Flavour = Literal["forge", "a1111", "sdcpp"]
Json = dict[str, Any]

SAMPLES = Path(__file__).parent / "samples" / "webui"

FORGE_ONLY = ("distilled_cfg_scale", "hr_additional_modules", "hr_cfg", "hr_distilled_cfg")


@cache
def recorded(name: str) -> Any:
    """The body a real Forge answered, from tests/samples/webui."""
    return json.loads((SAMPLES / f"{name}.json").read_text())["body"]


@dataclass(frozen=True)
class Answer:
    """`crashed` makes Forge close the connection afterwards."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    crashed: bool = False


class Refusal(Exception):
    """An HTTPException of FastAPI."""

    def __init__(self, status: int, detail: object, headers: Mapping[str, str] | None = None):
        super().__init__(status, detail)
        self.status, self.detail, self.headers = status, detail, headers or {}


class NoRoute(Exception):
    """404 or 405 of the framework itself."""

    def __init__(self, status: int = 404):
        super().__init__(status)
        self.status = status


class Crash(Exception):
    """An exception that nobody in the WebUI caught."""

    def __init__(self, error: str, message: str):
        super().__init__(error, message)
        self.error, self.message = error, message


def json_answer(body: object, status: int = 200, **kwargs: Any) -> Answer:
    return Answer(status, orjson.dumps(body), **kwargs)


def refusal_answer(refusal: Refusal, flavour: Flavour) -> Answer:
    if flavour == "sdcpp":
        return json_answer({"error": refusal.detail}, refusal.status)
    if flavour == "a1111" and isinstance(refusal.detail, str):
        body = {"error": "HTTPException", "detail": refusal.detail, "body": "", "errors": ""}
        return json_answer(body, refusal.status)
    return json_answer({"detail": refusal.detail}, refusal.status, headers=refusal.headers)


def no_route_answer(no_route: NoRoute, flavour: Flavour) -> Answer:
    if flavour == "sdcpp":
        return Answer(404, b"")
    detail = {404: "Not Found", 405: "Method Not Allowed"}[no_route.status]
    return json_answer({"detail": detail}, no_route.status)


def crash_answer(crash: Crash, flavour: Flavour) -> Answer:
    if flavour == "sdcpp":
        return json_answer({"error": "server_error", "message": crash.message}, 500)
    text = "errors" if flavour == "a1111" else "message"
    body = {"error": crash.error, "detail": "", "body": "", text: crash.message}
    return json_answer(body, 500, crashed=True)


def read_json_body(raw: bytes) -> Json:
    """The body as FastAPI takes it. Raises Refusal 422 with a list in `detail`."""
    if not raw:
        missing = {"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}
        raise Refusal(422, [missing])
    try:
        body = _read_json(raw)
    except ValueError as error:
        raise _invalid_json(error) from error
    if not isinstance(body, dict):
        problem = {
            "type": "model_attributes_type",
            "loc": ["body"],
            "msg": "Input should be a valid dictionary or object to extract fields from",
            "input": body,
        }
        raise Refusal(422, [problem])
    return body


def _read_json(raw: bytes) -> Any:
    """The quick reader first; the slow one takes bare NaN, as FastAPI's does."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return json.loads(raw)


def _invalid_json(error: ValueError) -> Refusal:
    problem: Json = {"type": "json_invalid", "loc": ["body", 0], "msg": "JSON decode error"}
    if isinstance(error, json.JSONDecodeError):
        problem |= {"loc": ["body", error.pos], "input": {}, "ctx": {"error": error.msg}}
    return Refusal(422, [problem])


def require_integers(body: Json, *names: str) -> None:
    """Raises Refusal 422 for a field that is no whole number, as pydantic does."""
    for name in names:
        value = body.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int):
            problem = {
                "type": "int_parsing",
                "loc": ["body", name],
                "msg": "Input should be a valid integer, unable to parse string as an integer",
                "input": value,
            }
            raise Refusal(422, [problem])
