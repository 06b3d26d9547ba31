"""What a webhook says, and that it stays thin."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import orjson
import pytest

from backend.jobs.records import Ending
from backend.jobs.webhook_body import MAX_BODY_BYTES, webhook_body

JOB = UUID("6f1c2f8e-3c55-4b0e-9a52-0d3a3b6a9d10")
IMAGE = "0b5f0a52-7f8e-4e58-8f1f-2f6a0c1d9e77"
ENDED_AT = datetime(2026, 11, 21, 8, 30, 5, 250000, UTC)
LONGEST_BASE = "https://" + "a" * 92 + "/api/v1/ai/generation"


def test_a_success_names_the_job_and_its_images() -> None:
    images = [{"id": IMAGE, "seed": 7}, {"id": None, "seed": 8}]
    ending = Ending(status="succeeded", result={"images": images, "parameters": {"prompt": "x"}})
    assert orjson.loads(webhook_body(JOB, ending, ENDED_AT, "https://host/api")) == {
        "type": "job.succeeded",
        "timestamp": "2026-11-21T08:30:05.250000Z",
        "data": {
            "job_id": str(JOB),
            "status": "succeeded",
            "urls": {"self": f"https://host/api/jobs/{JOB}"},
            "images": [
                {"image_id": IMAGE, "image_url": f"https://host/api/image/{IMAGE}"},
                {"image_id": None, "image_url": None},
            ],
            "error": None,
        },
    }


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_another_end_says_why(status: str) -> None:
    ending = Ending(status=status, error_code="no_engine", error_message="None.")  # type: ignore[arg-type]
    body = orjson.loads(webhook_body(JOB, ending, ENDED_AT, "/api"))
    assert body["type"] == f"job.{status}"
    assert body["data"]["urls"] == {"self": f"/api/jobs/{JOB}"}
    assert body["data"]["images"] == []
    assert body["data"]["error"] == {"code": "no_engine", "message": "None."}


def test_the_largest_one_stays_thin() -> None:
    images = [{"id": IMAGE, "seed": seed} for seed in range(1000)]
    many = Ending(status="succeeded", result={"images": images})
    long = Ending(status="failed", error_code="c" * 100, error_message="\x01" * 100_000)
    for ending in (many, long):
        assert len(webhook_body(JOB, ending, ENDED_AT, LONGEST_BASE)) < MAX_BODY_BYTES
