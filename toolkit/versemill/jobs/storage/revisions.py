"""The database's schema revisions. Apart from everything else, since the quickest paths ask it."""

from __future__ import annotations

REVISIONS = ("0001", "0002", "0003", "0004", "0005")
"""Every schema revision, oldest first; a test compares them with the migration scripts."""

HEAD = REVISIONS[-1]
