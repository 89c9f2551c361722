"""A team on shared devices: roles, limits, usage, priorities, devices, dependencies, messages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_NOTHING_REQUIRED = "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
"""The digest of an empty list."""


def upgrade() -> None:
    """Adds; what was there keeps its meaning. The first user becomes admin."""
    _add_tables()
    _add_columns()
    op.execute("UPDATE users SET role = 'admin' WHERE id = (SELECT min(id) FROM users)")
    jobs = sa.table("jobs", sa.column("id"), sa.column("requirements"))
    unset = jobs.c.requirements.is_(None)
    if op.get_bind().scalar(sa.select(jobs.c.id).where(unset).limit(1)) is None:
        return
    stored = sa.table("requirements", sa.column("digest"), sa.column("requirements"))
    known = sa.select(stored.c.digest).where(stored.c.digest == _NOTHING_REQUIRED)
    if op.get_bind().scalar(known) is None:
        op.execute(sa.insert(stored).values(digest=_NOTHING_REQUIRED, requirements=sa.text("'[]'")))
    op.execute(sa.update(jobs).where(unset).values(requirements=_NOTHING_REQUIRED))


def _add_tables() -> None:
    op.create_table(
        "memory_seen",
        sa.Column("shape", sa.String(length=64), nullable=False),
        sa.Column("bytes_used", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shape", name=op.f("pk_memory_seen")),
    )
    op.create_table(
        "last_starts",
        sa.Column("owner_id", sa.Integer(), nullable=False),
        sa.Column("priority", sa.String(length=16), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_last_starts_owner_id")),
        sa.PrimaryKeyConstraint("owner_id", "priority", name=op.f("pk_last_starts")),
    )
    op.create_table(
        "reservations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=True),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_reservations_owner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reservations")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_subscriptions_owner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriptions")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_subscriptions_owner_id"), "subscriptions", ["owner_id"])
    op.create_table(
        "usage",
        sa.Column("owner_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_usage_owner_id")),
        sa.PrimaryKeyConstraint("owner_id", "kind", name=op.f("pk_usage")),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subscription_id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_deliveries_job_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.id"],
            name=op.f("fk_deliveries_subscription_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_deliveries_due", "deliveries", ["state", "next_at"])
    op.create_index(op.f("ix_deliveries_job_id"), "deliveries", ["job_id"])
    op.create_index(op.f("ix_deliveries_subscription_id"), "deliveries", ["subscription_id"])
    op.create_table(
        "dependencies",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("after_id", sa.Integer(), nullable=False),
        sa.Column("condition", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["after_id"], ["jobs.id"], name=op.f("fk_dependencies_after_id")),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_dependencies_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "after_id", name=op.f("pk_dependencies")),
    )
    op.create_index(op.f("ix_dependencies_after_id"), "dependencies", ["after_id"])
    op.create_table(
        "device_holds",
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_device_holds_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_device_holds")),
        sa.UniqueConstraint("job_id", name=op.f("uq_device_holds_job_id")),
    )
    op.create_table(
        "forecasts",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("earliest", sa.DateTime(timezone=True), nullable=False),
        sa.Column("latest", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_forecasts_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "queued_at", name=op.f("pk_forecasts")),
    )


def _add_columns() -> None:
    op.add_column(
        "attempts",
        sa.Column("device_kind", sa.String(length=8), server_default="cpu", nullable=False),
    )
    op.add_column("attempts", sa.Column("device_id", sa.Text(), nullable=True))
    op.add_column("attempts", sa.Column("device_name", sa.Text(), nullable=True))
    op.add_column("attempts", sa.Column("share", sa.Double(), server_default="1", nullable=False))
    op.add_column("attempts", sa.Column("memory", sa.BigInteger(), nullable=True))
    op.add_column("attempts", sa.Column("memory_used", sa.BigInteger(), nullable=True))
    op.add_column(
        "attempts", sa.Column("given_back", sa.Double(), server_default="0", nullable=False)
    )
    op.add_column("attempts", sa.Column("provenance", sa.JSON(none_as_null=True), nullable=True))
    op.add_column(
        "jobs", sa.Column("priority", sa.String(length=16), server_default="normal", nullable=False)
    )
    op.add_column(
        "jobs", sa.Column("held", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column("attempts", sa.Column("preempted_for", sa.Integer(), nullable=True))
    op.add_column("jobs", sa.Column("begin_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("jobs", sa.Column("array_name", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("shape", sa.String(length=64), nullable=True))
    op.add_column("jobs", sa.Column("time_limit", sa.Double(), nullable=True))
    op.add_column("jobs", sa.Column("preempted_for", sa.Integer(), nullable=True))
    op.add_column("jobs", sa.Column("place_worker_id", sa.String(length=36), nullable=True))
    op.add_column("jobs", sa.Column("array_values", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("jobs", sa.Column("reservation_id", sa.Integer(), nullable=True))
    op.drop_index("ix_jobs_runnable", "jobs")
    op.create_index(op.f("ix_jobs_array_name"), "jobs", ["array_name"])
    op.create_index(
        "ix_jobs_heads",
        "jobs",
        ["state", "held", "owner_id", "priority", "requirements", "queued_at", "id"],
    )
    op.add_column("requirements", sa.Column("device", sa.JSON(none_as_null=True), nullable=True))
    op.add_column(
        "users", sa.Column("role", sa.String(length=16), server_default="member", nullable=False)
    )
    op.add_column(
        "users", sa.Column("disabled", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column("users", sa.Column("running_limit", sa.Integer(), nullable=True))
    op.add_column("users", sa.Column("queued_limit", sa.Integer(), nullable=True))
    op.add_column("users", sa.Column("gpu_limit", sa.Integer(), nullable=True))
    op.add_column(
        "users", sa.Column("urgent_limit", sa.Integer(), server_default="0", nullable=True)
    )
    op.add_column("workers", sa.Column("only_job", sa.Integer(), nullable=True))
    op.add_column("workers", sa.Column("labels", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("workers", sa.Column("devices", sa.JSON(none_as_null=True), nullable=True))
