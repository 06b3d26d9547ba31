"""A database with jobs in it, and what a receiver of webhooks does."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy import Engine, insert, select

from backend.jobs.deliveries import Deliveries, Delivery, due, promised
from backend.jobs.tables import jobs
from tests.backend.receivers import Received

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdefghijklmnopqrstuv").decode()
BODY = b'{"type":"job.succeeded"}'


def add_job(database: Engine) -> UUID:
    job_id = uuid4()
    with database.begin() as connection:
        connection.execute(
            insert(jobs).values(
                id=job_id,
                caller="somebody",
                kind="txt2img",
                status="queued",
                detached=True,
                request={},
                created_at=datetime.now(UTC),
                runs=0,
                attempts=0,
            )
        )
    return job_id


def promise(database: Engine, url: str) -> UUID:
    """A job whose end is to be told to `url`."""
    job_id = add_job(database)
    with database.begin() as connection:
        connection.execute(promised(job_id, url))
    return job_id


def end(database: Engine, job_id: UUID, body: bytes = BODY) -> None:
    with database.begin() as connection:
        connection.execute(due(job_id, body))


def ended_job(database: Engine, url: str) -> UUID:
    """A job whose end is due to be told to `url`."""
    job_id = promise(database, url)
    end(database, job_id)
    return job_id


def delivery_of(database: Engine, job_id: UUID) -> Delivery:
    return Deliveries(database).of_jobs([job_id])[job_id]


def job_ids(database: Engine) -> list[UUID]:
    with database.connect() as connection:
        return [row.id for row in connection.execute(select(jobs.c.id))]


def is_signed(received: Received, secret: str = SECRET) -> bool:
    """As the standard has receivers verify it."""
    headers = {name.lower(): value for name, value in received.headers.items()}
    return headers["webhook-signature"] == expected_signature(headers, received.body, secret)


def expected_signature(headers: Mapping[str, str], body: bytes, secret: str) -> str:
    to_sign = b".".join(
        [headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body]
    )
    key = base64.standard_b64decode(secret.split("_", 1)[1])
    digest = hmac.new(key, to_sign, hashlib.sha256).digest()
    return "v1," + base64.standard_b64encode(digest).decode("ascii")
