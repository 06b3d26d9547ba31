"""GET progress, POST interrupt and skip: of the caller's own requests, not of the GPU."""

from __future__ import annotations

from typing import Any

import pybase64
from flask import Blueprint, Response, request

from backend.callers import caller_of
from backend.compat.sdapi.render import json_answer
from backend.jobs.records import Snapshot
from backend.jobs.runners import OpenJob
from backend.services import Services

_TRUE = frozenset({"1", "true", "on", "yes"})


def blueprint(services: Services) -> Blueprint:
    """How the caller's requests fare, and how he calls them off."""
    routes = Blueprint("sdapi_progress", __name__)
    runner = services.runner

    @routes.get("/progress")
    def progress() -> Response:
        wants_preview = request.args.get("skip_current_image", "").lower() not in _TRUE
        jobs = runner.awaited(caller_of(request))
        running = [job for job in jobs if job.is_running]
        if running:
            return json_answer(_running(running[-1], preview=wants_preview))
        return json_answer(_queued(jobs[0]) if jobs else _idle())

    @routes.post("/interrupt")
    def interrupt() -> Response:
        """Those at work; where none is, those that wait."""
        jobs = runner.awaited(caller_of(request))
        for job in [job for job in jobs if job.is_running] or jobs:
            runner.cancel(job)
        return json_answer({})

    @routes.post("/skip")
    def skip() -> Response:
        """The one that progress tells of."""
        running = [job for job in runner.awaited(caller_of(request)) if job.is_running]
        if running:
            runner.cancel(running[-1])
        return json_answer(None)

    return routes


def _running(live: OpenJob, *, preview: bool) -> dict[str, Any]:
    now = live.snapshot(preview=preview)
    image = pybase64.b64encode(now.preview).decode() if preview and now.preview else None
    return _progress(live, now, image=image)


def _queued(live: OpenJob) -> dict[str, Any]:
    now = live.snapshot()
    place = f"Waiting in the queue at place {now.position}" if now.position else None
    return _progress(live, now, text=place)


def _idle() -> dict[str, Any]:
    return {
        "progress": 0.0,
        "eta_relative": 0.0,
        "state": _state("", 0, 0, 0, ""),
        "current_image": None,
        "textinfo": None,
    }


def _progress(
    live: OpenJob, now: Snapshot, *, image: str | None = None, text: str | None = None
) -> dict[str, Any]:
    job = "scripts_txt2img" if live.request.kind == "txt2img" else "scripts_img2img"
    began = f"{live.created_at:%Y%m%d%H%M%S}"
    return {
        "progress": now.fraction,
        "eta_relative": now.eta_s or 0.0,
        "state": _state(job, 1, now.step, now.steps or live.request.effective_steps, began),
        "current_image": image,
        "textinfo": text,
    }


def _state(job: str, count: int, step: int, steps: int, began: str) -> dict[str, Any]:
    return {
        "skipped": False,
        "interrupted": False,
        "stopping_generation": False,
        "job": job,
        "job_count": count,
        "job_timestamp": began,
        "job_no": 0,
        "sampling_step": step,
        "sampling_steps": steps,
    }
