"""The job queue: a durable queue of training jobs in SQLite or PostgreSQL.

Two doors: `service` is what people do, `leases` is what workers do. Below them, lowest first:
`states` → `columns` → `tables` → `database` → `store` → `transitions` → `workers` → `claims` →
`recording`, `checkpoints`, `recovery`, and for reading `views` → `listings`, `corpora`.
`moving`, on `copying`, takes a whole installation elsewhere. `queue` stands beside them and is the
only one that knows Celery.
"""
