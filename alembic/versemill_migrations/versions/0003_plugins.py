"""Which plugins a job needs and a worker has, and who has accepted that they changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds columns that may be empty; jobs of before need nothing, and any worker takes them."""
    op.create_table(
        "needs",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("needs", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_needs")),
    )
    op.add_column("jobs", sa.Column("needs", sa.String(length=64), nullable=True))
    op.add_column("jobs", sa.Column("accepted_by", sa.Text(), nullable=True))
    op.add_column("workers", sa.Column("plugins", sa.JSON(none_as_null=True), nullable=True))
    op.drop_index("ix_jobs_runnable", "jobs")
    op.create_index("ix_jobs_runnable", "jobs", ["state", "needs", "queued_at", "id"])
