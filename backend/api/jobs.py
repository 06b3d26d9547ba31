"""GET /jobs, GET and DELETE /jobs/<id>, and /jobs/<id>/events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pybase64
from flask import Blueprint, Response, request

from ai.errors import InvalidRequest
from backend.api import events
from backend.api.translate import job_answer
from backend.callers import caller_of, departure
from backend.errors import JobNotFound, JobOver
from backend.jobs.ledger import Cursor
from backend.jobs.records import STATUSES, Job, LedgerUnavailable, Status
from backend.jobs.runners import OpenJob
from backend.services import Services
from backend.storage.base import parse_image_id

DEFAULT_PAGE = 20
LARGEST_PAGE = 100
PAGE_QUERY = frozenset({"limit", "cursor", "status"})
TRUTHS = {"true": True, "false": False}
END_KEPT_WITHIN_S = 5.0
"""A canceled job is over at once; to write that down may take as long as the database is busy."""


def blueprint(services: Services) -> Blueprint:
    """The jobs of `services`, each to its own caller alone."""
    routes = Blueprint("jobs", __name__)
    desk = _Desk(services)

    @routes.get("/jobs")
    def jobs() -> Response:
        return desk.page()

    @routes.get("/jobs/<name>")
    def job(name: str) -> Response:
        return desk.show(name)

    @routes.delete("/jobs/<name>")
    def cancel_job(name: str) -> Response:
        return desk.cancel(name)

    @routes.get("/jobs/<name>/events")
    def job_events(name: str) -> Response:
        return desk.watch(name)

    return routes


class _Desk:
    """Finds a caller's jobs and says how they stand."""

    def __init__(self, services: Services) -> None:
        self._runner = services.runner
        self._ledger = services.ledger
        self._deliveries = services.deliveries
        self._watchers = services.watchers

    def page(self) -> Response:
        for unknown in sorted(request.args.keys() - PAGE_QUERY):
            raise InvalidRequest(unknown, "Unknown parameter")
        limit = _limit()
        jobs = self._ledger.page(
            caller_of(request), limit=limit + 1, after=_cursor(), status=_status()
        )
        shown = [(job, self._runner.find(job.id)) for job in jobs[:limit]]
        return _json(
            {
                "jobs": self._answers(shown),
                "next_cursor": _cursor_text(shown[-1][0]) if len(jobs) > limit else None,
            }
        )

    def show(self, name: str) -> Response:
        return _json(self._answers([self._own(name)])[0])

    def cancel(self, name: str) -> Response:
        job, live = self._own(name)
        if not (self._runner.cancel(live) if live else self._runner.cancel_kept(job)):
            raise JobOver("The job has ended already.")
        if live is not None:
            live.over.wait(END_KEPT_WITHIN_S)
        return self.show(name)

    def watch(self, name: str) -> Response:
        preview = _preview()
        job, live = self._own(name)
        seen = request.headers.get("Last-Event-ID")
        if job.has_ended and seen == job.status:
            return Response(status=204)  # tells an EventSource to stop coming back
        told = self._events(job, live, preview, seen, departure(request.environ))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return Response(self._watchers.counted(told), mimetype="text/event-stream", headers=headers)

    def _events(
        self,
        job: Job,
        live: OpenJob | None,
        preview: bool,
        seen: str | None,
        left: Callable[[], bool],
    ) -> Iterator[bytes]:
        """Without its end where that is left to the next process: the watcher comes back."""
        yield events.RECONNECT
        if live is not None:
            yield from events.stream(live, preview=preview, seen=seen, left=left)
            with suppress(LedgerUnavailable):
                job = self._ledger.get(job.id) or job
        if job.has_ended:
            yield events.event(job.status, job.status, job_answer(job))

    def _own(self, name: str) -> tuple[Job, OpenJob | None]:
        """The caller's job; live while it is worked on, else as it ended."""
        job_id = parse_image_id(name)
        live = self._runner.find(job_id) if job_id else None
        job = self._ledger.get(job_id) if job_id else None
        if job is None or job.caller != caller_of(request):
            raise JobNotFound("You have no job under that id; it may have been forgotten.")
        return job, None if job.has_ended else live

    def _answers(self, jobs: Sequence[tuple[Job, OpenJob | None]]) -> list[dict[str, Any]]:
        deliveries = self._deliveries.of_jobs([job.id for job, _ in jobs])
        return [
            job_answer(
                job, live.snapshot() if live and not job.has_ended else None, deliveries.get(job.id)
            )
            for job, live in jobs
        ]


def _limit() -> int:
    text = request.args.get("limit", str(DEFAULT_PAGE))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= LARGEST_PAGE):
        raise InvalidRequest("limit", f"must be 1 to {LARGEST_PAGE}")
    return int(text)


def _preview() -> bool:
    text = request.args.get("preview", "false")
    if text not in TRUTHS:
        raise InvalidRequest("preview", "must be true or false")
    return TRUTHS[text]


def _status() -> Status | None:
    asked = request.args.get("status")
    for status in STATUSES:
        if status == asked:
            return status
    if asked is not None:
        raise InvalidRequest("status", f"must be one of {', '.join(STATUSES)}")
    return None


def _cursor() -> Cursor | None:
    """Where the page before ended, as `_cursor_text` wrote it."""
    text = request.args.get("cursor")
    if text is None:
        return None
    try:
        made, job_id = pybase64.urlsafe_b64decode(text.encode("ascii")).decode("ascii").split("|")
        return datetime.fromisoformat(made).astimezone(UTC), UUID(job_id)
    except (ValueError, OverflowError):
        raise InvalidRequest("cursor", "is not one that a page before gave") from None


def _cursor_text(job: Job) -> str:
    text = f"{job.created_at.isoformat()}|{job.id}"
    return pybase64.urlsafe_b64encode(text.encode("ascii")).decode("ascii")


def _json(body: dict[str, Any]) -> Response:
    response = Response(orjson.dumps(body), mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
