"""The jobs' part of the OpenAPI document."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from backend.api.answers import AcceptedAnswer, JobAnswer, JobsAnswer
from backend.api.openapi_parts import JSON, KEYED, problems, ref
from backend.jobs.records import STATUSES

JOB_ANSWERS: tuple[type[BaseModel], ...] = (AcceptedAnswer, JobAnswer, JobsAnswer)


def job_paths() -> dict[str, Any]:
    """Every path under /jobs."""
    return {
        "/jobs": {"get": _page()},
        "/jobs/{job_id}": {
            "parameters": [_job_id()],
            "get": _told("job", "How a job stands"),
            "delete": _told("cancel_job", "Call a job off", also=(409,)),
        },
        "/jobs/{job_id}/events": {"parameters": [_job_id()], "get": _events()},
    }


def accepted() -> dict[str, Any]:
    """The answer to Prefer: respond-async."""
    text = {"schema": {"type": "string"}}
    return {
        "description": "For `Prefer: respond-async`: the job, queued",
        "headers": {
            "Location": {"description": "The job", **text},
            "Preference-Applied": {"description": "respond-async", **text},
        },
        "content": {JSON: {"schema": ref(AcceptedAnswer)}},
    }


def _job_id() -> dict[str, Any]:
    schema = {"type": "string", "format": "uuid"}
    return {"name": "job_id", "in": "path", "required": True, "schema": schema}


def _page() -> dict[str, Any]:
    return {
        "operationId": "jobs",
        "tags": ["Jobs"],
        "summary": "Your jobs, newest first",
        "parameters": [
            _query("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
            _query("cursor", {"type": "string", "description": "next_cursor of the page before"}),
            _query("status", {"type": "string", "enum": list(STATUSES)}),
        ],
        "responses": {
            "200": {"description": "A page", "content": {JSON: {"schema": ref(JobsAnswer)}}},
            **problems((*KEYED, 422, 429, 503)),
        },
    }


def _told(name: str, summary: str, *, also: tuple[int, ...] = ()) -> dict[str, Any]:
    return {
        "operationId": name,
        "tags": ["Jobs"],
        "summary": summary,
        "responses": {
            "200": {"description": "The job", "content": {JSON: {"schema": ref(JobAnswer)}}},
            **problems((*KEYED, 404, *also, 429, 503)),
        },
    }


def _events() -> dict[str, Any]:
    last = {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}}
    return {
        "operationId": "job_events",
        "tags": ["Jobs"],
        "summary": "Server-sent events until the job has ended",
        "parameters": [_query("preview", {"type": "boolean", "default": False}), last],
        "responses": {
            "200": {
                "description": "queued (position, eta_s), processing (progress, step, preview), "
                "then succeeded, failed or canceled with the job",
                "content": {"text/event-stream": {}},
            },
            "204": {"description": "The end was told already; do not come back"},
            **problems((*KEYED, 404, 422, 429, 503)),
        },
    }


def _query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema}
