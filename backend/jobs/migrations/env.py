"""Alembic's way in: it migrates over the connection it is handed."""

from __future__ import annotations

from alembic import context

from backend.accounts.tables import api_keys

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=api_keys.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
