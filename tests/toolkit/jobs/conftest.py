"""Fixtures for tests of the job queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from job_queue import JobQueue

if TYPE_CHECKING:
    from versemill.jobs.storage.unit_of_work import Store


@pytest.fixture
def queue(store: Store) -> JobQueue:
    return JobQueue(store)
