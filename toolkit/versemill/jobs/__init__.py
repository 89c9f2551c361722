"""The jobs floor: a durable queue of training jobs in SQLite or PostgreSQL.

Rooms, lowest first: `states` → `tables` → `database` → `store` → `transitions` →
`leases`, `checkpoints`, `recovery` (what workers do) and `listings`, `corpora` (what people read)
→ `service` (what people do). `queue` stands beside them and is the only one that knows Celery.
"""
