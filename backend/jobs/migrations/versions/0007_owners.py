"""Know which worker has a job."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "jobs", sa.Column("fresh", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("jobs", sa.Column("owner", sa.Uuid()))
    op.add_column("jobs", sa.Column("lease_until", sa.DateTime(timezone=True)))
    op.create_index("jobs_by_owner", "jobs", ["owner"])


def downgrade() -> None:
    op.drop_index("jobs_by_owner", "jobs")
    for column in ("lease_until", "owner", "fresh"):
        op.drop_column("jobs", column)
