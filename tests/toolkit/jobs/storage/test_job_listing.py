"""The quick listing shows what the ordinary one shows, or stands aside."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from job_queue import CONFIG, TEXT, JobQueue
from people import ANN
from versemill.jobs import service
from versemill.jobs.service import Submission
from versemill.jobs.states import State
from versemill.jobs.storage import job_listing
from versemill.jobs.storage.database import connect
from versemill.jobs.storage.unit_of_work import Store
from versemill.jobs.waiting.queue_listing import with_outlook

if TYPE_CHECKING:
    from pathlib import Path

    from versemill.jobs.views import JobView


@pytest.fixture
def busy(sqlite_url: str) -> Store:
    """A database with jobs in several states, one of them left by its worker."""
    store = Store.open(sqlite_url)
    queue = JobQueue(store)
    for state in State:
        queue.in_state(state)
    queue.expire(queue.running())
    service.request_pause(store, queue.running().job_id, ANN)
    submission = Submission(config=CONFIG, text=TEXT, plugins=[], name="不分开")
    service.enqueue(store, submission, service.Principal("张三"))
    return store


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"limit": 2},
        {"states": [State.RUNNING, State.PAUSED]},
        {"owner": "张三"},
        {"owner": "nobody", "states": [State.QUEUED], "limit": 1},
    ],
)
def test_both_ways_list_the_same(busy: Store, sqlite_url: str, wanted: dict[str, Any]) -> None:
    quick = job_listing.jobs(sqlite_url, **wanted, outlook=with_outlook) or []
    ordinary = service.jobs(busy, **({"limit": None} | wanted))
    assert [without_times(job) for job in quick] == [without_times(job) for job in ordinary]


def without_times(job: JobView) -> JobView:
    """A job without its expected start, which moves on with the time."""
    return replace(job, expected_start=None)


def test_all_kinds_of_rows_were_compared(busy: Store, sqlite_url: str) -> None:
    shown = {job.state_shown for job in job_listing.jobs(sqlite_url) or ()}
    assert shown >= {"queued", "running", "paused", "succeeded", "interrupted", "pausing"}


def test_another_schema_is_left_to_the_ordinary_way(sqlite_url: str) -> None:
    database = connect(sqlite_url)
    with database.writer.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    assert job_listing.jobs(sqlite_url) is None


@pytest.mark.parametrize(
    "url", ["postgresql://somebody@localhost/versemill", "sqlite:///file.db?mode=ro"]
)
def test_other_databases_are_left_to_the_ordinary_way(url: str) -> None:
    assert job_listing.jobs(url) is None


def test_a_missing_or_foreign_file_is_left_to_the_ordinary_way(tmp_path: Path) -> None:
    assert job_listing.jobs(f"sqlite:///{tmp_path / 'none.db'}") is None
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "foreign.db").write_text("a diary")
    assert job_listing.jobs(f"sqlite:///{tmp_path / 'foreign.db'}") is None


def test_sqlalchemy_is_not_imported_for_waiting_jobs_either(busy: Store, sqlite_url: str) -> None:
    JobQueue(busy).worker()
    code = """
import sys
from versemill.jobs.storage import job_listing
from versemill.jobs.waiting.queue_listing import with_outlook
jobs = job_listing.jobs(sys.argv[1], outlook=with_outlook)
print(max(job.position or 0 for job in jobs), 'sqlalchemy' in sys.modules)
"""
    run = [sys.executable, "-c", code, sqlite_url]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"]
