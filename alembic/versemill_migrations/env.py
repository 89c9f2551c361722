"""What Alembic runs: migrations on the connection it was given, in the caller's transaction.

The caller (`versemill.jobs.storage.database`) has begun a transaction and holds the lock, so that
all revisions happen together or not at all, on SQLite too.
"""

from __future__ import annotations

from alembic import context

from versemill.jobs.storage.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
