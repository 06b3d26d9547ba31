"""Jobs to put into a ledger, and ways for them to end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from backend.jobs.records import Claim, Ending, Job

FAILED = Ending(status="failed", error_code="engine_failed", error_message="It crashed.")
CANCELED = Ending(status="canceled", error_code="generation_canceled", error_message="No more.")


def queued(caller: str = "somebody", **fields: Any) -> Job:
    job = Job(
        id=uuid4(),
        caller=caller,
        kind="txt2img",
        status="queued",
        detached=True,
        request={"prompt": "a red circle"},
        created_at=datetime.now(UTC),
    )
    return replace(job, **fields)


def succeeded(*image_ids: UUID, fingerprint: str | None = None) -> Ending:
    images = [
        {"id": str(image_id), "seed": 7, "media_type": "image/png", "width": 64, "height": 64}
        for image_id in image_ids
    ]
    result = {
        "images": images,
        "model": "tinyA",
        "hash": "fc01b6beb8",
        "fallback": False,
        "cached": False,
        "device": "cuda",
        "parameters": {"steps": 2},
        "degraded": [],
        "warnings": [],
    }
    return Ending(
        status="succeeded", attempts=1, engine="webui", result=result, fingerprint=fingerprint
    )


def claim(key: str = "key", fingerprint: str = "f" * 64, status: int = 200) -> Claim:
    return Claim(key, fingerprint, status)
