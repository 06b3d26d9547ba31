"""What a webhook says: that a job ended and how, and where the rest is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from backend.jobs.records import Ending

MAX_BODY_BYTES = 20_000
"""Standard Webhooks asks for no more."""
MAX_IMAGES = 64
"""As many as one request may ask for; with URLs as long as PUBLIC_URL may make them they fit."""
MAX_MESSAGE_CHARS = 1000


def webhook_body(job_id: UUID, ending: Ending, ended_at: datetime, base_url: str) -> bytes:
    """JSON below MAX_BODY_BYTES. The API's `jobs/` and `image/` are under `base_url`."""
    return orjson.dumps(
        {
            "type": f"job.{ending.status}",
            "timestamp": ended_at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z",
            "data": {
                "job_id": str(job_id),
                "status": ending.status,
                "urls": {"self": f"{base_url}/jobs/{job_id}"},
                "images": _images(ending.result or {}, base_url),
                "error": _error(ending),
            },
        }
    )


def _images(result: Mapping[str, Any], base_url: str) -> list[dict[str, str | None]]:
    ids = [image["id"] for image in result.get("images", ())][:MAX_IMAGES]
    return [
        {"image_id": name, "image_url": f"{base_url}/image/{name}" if name else None}
        for name in ids
    ]


def _error(ending: Ending) -> dict[str, str] | None:
    if ending.error_code is None:
        return None
    message = ending.error_message or ""
    return {"code": ending.error_code, "message": message[:MAX_MESSAGE_CHARS]}
