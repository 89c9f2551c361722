"""Columns named by what they hold: kinds of machine, and requirements of plugins."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Renames only; every value stays. SQLite takes these statements as PostgreSQL does."""
    op.drop_index("ix_jobs_runnable", "jobs")
    op.execute("ALTER TABLE jobs RENAME COLUMN plan TO machine")
    op.execute("ALTER TABLE jobs RENAME COLUMN needs TO requirements")
    op.execute("ALTER TABLE workers RENAME COLUMN plans TO machines")
    # Copied, since SQLite cannot rename the constraint of a table.
    op.create_table(
        "requirements",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("requirements", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_requirements")),
    )
    op.execute("INSERT INTO requirements SELECT digest, needs FROM needs")
    op.drop_table("needs")
    op.create_index("ix_jobs_runnable", "jobs", ["state", "requirements", "queued_at", "id"])
