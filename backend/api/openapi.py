"""The OpenAPI 3.1 document, made from the same models that validate and the table of errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from backend.api import examples
from backend.api.account import AccountAnswer
from backend.api.answers import GenerationAnswer, ModelsAnswer, ProblemAnswer, SamplersAnswer
from backend.api.openapi_jobs import JOB_ANSWERS, accepted, job_paths
from backend.api.openapi_parts import (
    JSON,
    KEYED,
    OPEN,
    SECURITY,
    SECURITY_SCHEMES,
    problems,
    ref,
)
from backend.api.schemas import BodyModels, GenerationBody
from backend.api.translate import BASE_PATH
from backend.bounds import Bounds
from backend.storage.renditions import (
    FORMATS,
    MAX_QUALITY,
    MAX_WIDTH,
    MIN_QUALITY,
    MIN_WIDTH,
)

IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp")
GENERATION_PROBLEMS = (400, *KEYED, 409, 410, 413, 415, 422, 429, 502, 503, 504, 507)


def document(bounds: Bounds, version: str) -> dict[str, Any]:
    """The whole document, with `bounds` as the schemas' limits."""
    bodies = BodyModels(bounds).all()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sluice",
            "version": version,
            "summary": "Images from text and pictures, over a pool of Stable Diffusion engines",
            "description": "Clients of OpenAI's images API are served under `/v1`, beside this.",
        },
        "servers": [{"url": BASE_PATH}],
        "paths": {
            **{f"/{body.kind}": {"post": _generation(body)} for body in bodies},
            **job_paths(),
            "/image/{image_id}": _image(),
            "/account": {
                "get": _get("account", "How you stand with limits", AccountAnswer, "Account")
            },
            "/models": {"get": _get("models", "Checkpoints that can be asked for", ModelsAnswer)},
            "/samplers": {"get": _get("samplers", "Samplers and schedulers", SamplersAnswer)},
            "/health": {"get": _health("health", "State of each engine, Redis and storage")},
            "/health/live": {"get": _health("live", "200 while the process answers")},
            "/health/ready": {"get": _health("ready", "503 when nothing can generate", ready=True)},
        },
        "security": SECURITY,
        "components": {"schemas": _schemas(bodies), "securitySchemes": SECURITY_SCHEMES},
    }


def _schemas(bodies: Sequence[type[BaseModel]]) -> dict[str, Any]:
    answers: list[type[BaseModel]] = [
        *(GenerationAnswer, ModelsAnswer, SamplersAnswer, ProblemAnswer, AccountAnswer),
        *JOB_ANSWERS,
    ]
    _, definitions = models_json_schema(
        [(body, "validation") for body in bodies]
        + [(answer, "serialization") for answer in answers],
        ref_template="#/components/schemas/{model}",
    )
    schemas: dict[str, Any] = definitions["$defs"]
    forms = {_form_name(body): _form(schemas[body.__name__]) for body in bodies if _has_image(body)}
    return schemas | forms


def _has_image(body: type[BaseModel]) -> bool:
    return "image" in body.model_fields


def _form_name(body: type[BaseModel]) -> str:
    return body.__name__.replace("Body", "Form")


def _form(schema: dict[str, Any]) -> dict[str, Any]:
    """The same fields as in JSON, but pictures are files, and a form knows no null."""
    file = {"type": "string", "format": "binary", "description": "PNG, JPEG, WebP or GIF"}
    fields = {name: _without_null(field) for name, field in schema["properties"].items()}
    pictures = {name: file for name in ("image", "mask") if name in fields}
    return {**schema, "properties": fields | pictures}


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" not in field:
        return field
    (kind,) = (kind for kind in field["anyOf"] if kind != {"type": "null"})
    about = {name: value for name, value in field.items() if name not in ("anyOf", "default")}
    return {**kind, **about}


def _generation(body: type[GenerationBody]) -> dict[str, Any]:
    example = examples.BODIES[body.kind]
    content: dict[str, Any] = {JSON: {"schema": ref(body), "example": example}}
    if _has_image(body):
        form = {"$ref": f"#/components/schemas/{_form_name(body)}"}
        content["multipart/form-data"] = {"schema": form}
    pictures = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in IMAGE_TYPES}
    return {
        "operationId": body.kind,
        "tags": ["Generate"],
        "summary": (body.__doc__ or "").strip(),
        "parameters": _generation_headers(),
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {
                "description": "The picture; with Accept naming its type, its bytes alone",
                "headers": _rate_limit_headers() | _replayed_header(),
                "content": {JSON: {"schema": ref(GenerationAnswer)}, **pictures},
            },
            "202": accepted(),
            **problems(GENERATION_PROBLEMS),
        },
    }


def _get(name: str, summary: str, answer: type[BaseModel], tag: str = "Engines") -> dict[str, Any]:
    return {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        "responses": {
            "200": {"description": summary, "content": {JSON: {"schema": ref(answer)}}},
            **problems((*KEYED, 429)),
        },
    }


def _health(name: str, summary: str, *, ready: bool = False) -> dict[str, Any]:
    content = {JSON: {"schema": {"type": "object"}}}
    responses = {"200": {"description": summary, "content": content}}
    if ready:
        responses["503"] = {"description": "Nothing can generate", "content": content}
    return {
        "operationId": name,
        **OPEN,
        "tags": ["Health"],
        "summary": summary,
        "responses": responses,
    }


def _image() -> dict[str, Any]:
    image_id = {
        "name": "image_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "format": "uuid"},
    }
    pictures = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in IMAGE_TYPES}
    return {
        "parameters": [image_id],
        "get": {
            "operationId": "image",
            **OPEN,
            "tags": ["Images"],
            "summary": "The bytes as the engine made them, or a rendition",
            "parameters": _rendition_parameters(),
            "responses": {
                "200": {"description": "The picture", "content": pictures},
                "206": {"description": "The range asked for", "content": pictures},
                "304": {"description": "Not changed: an image never does"},
                "416": {"description": "No such range"},
                **problems((404, 410, 422, 429)),
            },
        },
        "delete": {
            "operationId": "delete_image",
            "tags": ["Images"],
            "summary": "Delete an image made for you, and its renditions",
            "responses": {"204": {"description": "Gone"}, **problems((*KEYED, 404, 410, 429, 503))},
        },
    }


def _rendition_parameters() -> list[dict[str, Any]]:
    width = {"type": "integer", "minimum": MIN_WIDTH, "maximum": MAX_WIDTH}
    return [
        {"name": "format", "in": "query", "schema": {"type": "string", "enum": list(FORMATS)}},
        {
            "name": "width",
            "in": "query",
            "description": "Pixels; never enlarged",
            "schema": width,
        },
        {
            "name": "quality",
            "in": "query",
            "description": "Of jpeg and webp",
            "schema": {"type": "integer", "minimum": MIN_QUALITY, "maximum": MAX_QUALITY},
        },
    ]


def _generation_headers() -> list[dict[str, Any]]:
    key = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}
    return [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Names this request: sent again within 24 hours it is not made again, "
            "the first answer is given once more",
            "schema": key,
        },
        {
            "name": "Cache-Control",
            "in": "header",
            "description": "no-cache: make it anew, though the same was made before",
            "schema": {"type": "string", "examples": ["no-cache"]},
        },
    ]


def _replayed_header() -> dict[str, Any]:
    return {
        "Idempotency-Replayed": {
            "description": "true when this is the answer to an earlier request with that key",
            "schema": {"type": "string", "enum": ["true"]},
        }
    }


def _rate_limit_headers() -> dict[str, Any]:
    text = {"schema": {"type": "string"}}
    return {
        name: {"description": description, **text}
        for name, description in (
            ("RateLimit-Policy", 'Each limit: `"generation";q=10;w=60`'),
            ("RateLimit", 'Where the caller stands: `"generation";r=7;t=41`'),
            ("Server-Timing", "Milliseconds in the queue, the engine and the gateway"),
            ("X-Request-ID", "Names this request in logs and errors"),
        )
    }
