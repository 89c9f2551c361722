"""On which kind of machine a job goes on bit for bit, and which workers are to end."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds columns that may be empty, which no database has to rewrite a table for."""
    op.add_column("jobs", sa.Column("plan", sa.Text(), nullable=True))
    op.add_column("workers", sa.Column("plans", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("workers", sa.Column("drained_by", sa.Text(), nullable=True))
