"""Why jobs wait, how many start before them, and when each is expected to start.

Listings call it and nothing here writes, but for `forecasts`. It reads plain SQL and imports no
SQLAlchemy, since `versemill jobs` is typed all day.
"""
