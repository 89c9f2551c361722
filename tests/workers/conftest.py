"""Fixtures with real worker processes on throw-away installations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from worker_cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def cluster(tmp_path: Path, database_url: str) -> Iterator[Cluster]:
    """An installation on SQLite and on PostgreSQL in turn."""
    yield from _open(tmp_path, database_url)


@pytest.fixture
def sqlite_cluster(tmp_path: Path, sqlite_url: str) -> Iterator[Cluster]:
    """An installation on SQLite, for what does not depend on the database."""
    yield from _open(tmp_path, sqlite_url)


def _open(home: Path, url: str) -> Iterator[Cluster]:
    opened = Cluster(home, url)
    yield opened
    opened.close()
