"""The stage on which tests of the jobs floor play."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobs_floor import Floor

if TYPE_CHECKING:
    from versemill.jobs.storage.unit_of_work import Store


@pytest.fixture
def floor(store: Store) -> Floor:
    return Floor(store)
