"""The tables of the database; the migrations bring a database to this shape."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    Uuid,
)

metadata = MetaData()


class UtcDateTime(TypeDecorator[datetime]):
    """Aware times, also where the database (SQLite) forgets their zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


jobs = Table(
    "jobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("caller", String(200), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("status", String(20), nullable=False),
    Column("detached", Boolean, nullable=False),
    Column("request", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("runs", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("engine", String(200)),
    Column("result", JSON(none_as_null=True)),
    Column("error_code", String(100)),
    Column("error_message", Text),
    Column("queue_s", Float),
    Column("engine_s", Float),
    Column("fingerprint", String(64)),
    Column("request_id", String(128)),
    Column("traceparent", String(55)),
    Column("fresh", Boolean, nullable=False),
    Column("owner", Uuid),
    Column("lease_until", UtcDateTime),
    Index("jobs_of_caller", "caller", "created_at", "id"),
    Index("jobs_by_status", "status"),
    Index("jobs_by_owner", "owner"),
    Index("jobs_by_end", "ended_at"),
    Index("jobs_by_fingerprint", "caller", "fingerprint", "ended_at"),
)

images = Table(
    "images",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("job_id", Uuid, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Index("images_of_job", "job_id"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("caller", String(200), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("job_id", Uuid, ForeignKey("jobs.id"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("processing_s", Float),
    Index("keys_of_job", "job_id"),
    Index("keys_by_age", "created_at"),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("job_id", Uuid, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("url", Text, nullable=False),
    Column("host", String(255), nullable=False),
    Column("body", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("state", String(20), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_try_at", UtcDateTime),
    Column("last_status", Integer),
    Column("last_error", Text),
    Column("delivered_at", UtcDateTime),
    Index("deliveries_of_job", "job_id"),
    Index("deliveries_by_try", "state", "next_try_at"),
)
