"""The table of API keys, beside those of jobs."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Integer, String, Table, Text

from backend.jobs.tables import UtcDateTime, metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(8), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("checkpoints", JSON, nullable=False),
    Column("requests", Text),
    Column("max_jobs", Integer),
    Column("budget_hour", Float),
    Column("budget_day", Float),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("old_digest", String(64)),
    Column("old_until", UtcDateTime),
)
