"""Schema migrations; Alembic's script location is `versemill_migrations:`."""
