"""Reading a WebUI's progress: global, and partly stale from the job before."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pybase64

from ai.generation import Progress
from ai.images import inspect_image


def read_progress(body: bytes, steps: int) -> Progress | None:
    """How far the running job is, which takes `steps`; None when none runs, or for nonsense.

    Before its first step a job still shows the steps of the one before it, so that nothing
    but our own number is believed then.
    """
    told, state = _told(body)
    if not state.get("job"):
        return None
    step = _count(state.get("sampling_step"))
    if step == 0:
        return Progress(steps=steps)
    return Progress(
        fraction=min(max(_finite(told.get("progress")) or 0.0, 0.0), 1.0),
        step=step,
        steps=max(_count(state.get("sampling_steps")), step),
        eta_s=_eta(told.get("eta_relative")),
        preview=_preview(told.get("current_image")),
    )


def says_interrupted(body: bytes) -> bool:
    """Whether a job runs there and knows that it is to stop."""
    _, state = _told(body)
    return bool(state.get("job")) and state.get("interrupted") is True


def _told(body: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}, {}
    state = told.get("state") if isinstance(told, dict) else None
    return (told, state) if isinstance(state, dict) else ({}, {})


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _eta(value: object) -> float | None:
    seconds = _finite(value)
    return seconds if seconds is not None and seconds >= 0 else None


def _preview(encoded: object) -> bytes | None:
    if not isinstance(encoded, str):
        return None
    try:
        data = pybase64.b64decode(encoded, validate=True)
        inspect_image(data)
    except ValueError:
        return None
    return data
