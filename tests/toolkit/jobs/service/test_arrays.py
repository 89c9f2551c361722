"""Arrays: all combinations or nothing, under one name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from job_queue import JobQueue
from people import ANN
from versemill.errors import ConfigError, JobStateError, UnknownNameError
from versemill.jobs import service
from versemill.jobs.service import Submission, TextSources, Varied
from versemill.jobs.states import State
from versemill.jobs.storage import job_listing
from versemill.jobs.storage.tables import Job, StoredText
from versemill.jobs.storage.unit_of_work import Store
from versemill.jobs.views import ArrayView, JobView

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCES = TextSources(limit=1_000_000)
TABLE: dict[str, Any] = {
    "name": "lr",
    "corpus_options": {"first": 1200},
    "model": {"hidden_size": 8, "embedding_size": 8},
    "training": {"batch_size": 4, "window": 16},
}
RATES = Varied(key="training.learning_rate", values=[1e-3, 3e-3])
SEEDS = Varied(key="training.seed", values=range(1, 4))


def submit(
    queue: JobQueue, *varied: Varied, table: dict[str, Any] | None = None
) -> tuple[JobView, ...]:
    used = TABLE if table is None else table
    return service.submit_array(queue.store, used, varied, ANN, SOURCES).jobs


def test_every_combination_is_a_job_of_its_own(queue: JobQueue) -> None:
    jobs = submit(queue, RATES, SEEDS)
    assert [job.name for job in jobs] == [f"lr-{number}" for number in range(1, 7)]
    assert {job.array for job in jobs} == {"lr"}
    configs = [service.details(queue.store, job.id).config["training"] for job in jobs]
    combinations = [(config["learning_rate"], config["seed"]) for config in configs]
    assert combinations == [(rate, seed) for rate in RATES.values for seed in SEEDS.values]
    assert jobs[4].array_values == {"training.learning_rate": 3e-3, "training.seed": 2}
    assert queue.count(StoredText) == 1


def test_a_name_is_made_up_and_names_stay_unambiguous(queue: JobQueue) -> None:
    table = {key: value for key, value in TABLE.items() if key != "name"}
    jobs = submit(queue, SEEDS, table=table)
    array = f"starter-zh-gru-{jobs[0].id}"
    assert [job.name for job in jobs] == [f"{array}-1", f"{array}-2", f"{array}-3"]
    submit(queue, SEEDS)
    for name in ("lr", "lr-2"):
        with pytest.raises(ConfigError, match="name"):
            queue.submit(name)
        with pytest.raises(ConfigError, match="name"):
            submit(queue, SEEDS, table=TABLE | {"name": name})
    queue.submit("taken-2")
    with pytest.raises(ConfigError, match="taken-2"):
        submit(queue, SEEDS, table=TABLE | {"name": "taken"})
    assert service.array_named(queue.store, "taken") is None, "nothing of it was stored"


@pytest.mark.parametrize(
    ("varied", "why"),
    [
        ([Varied(key="training.seed", values=range(0))], "0 jobs"),
        ([Varied(key="training.seed", values=range(10_000))], "10,000 jobs"),
        ([Varied(key="training.seed", values=range(10**17))], "1 to 1,000 jobs"),
        ([Varied(key="training.seed", values=[1, 1])], "each value once"),
        ([SEEDS, SEEDS], "each setting once"),
        ([Varied(key="name", values=["a", "b"])], "SECTION.KEY"),
        ([Varied(key="nowhere.seed", values=[1])], "a section among"),
        ([Varied(key="training.seeds", values=[1, 2])], "no such setting"),
        ([RATES, Varied(key="training.batch_size", values=[4, -4])], "batch_size"),
    ],
)
def test_what_cannot_be_an_array_is_refused_and_nothing_is_stored(
    queue: JobQueue, varied: Sequence[Varied], why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        submit(queue, *varied)
    assert queue.count(Job) == queue.count(StoredText) == 0


def test_the_plugins_of_an_array_may_differ(queue: JobQueue) -> None:
    jobs = submit(queue, Varied(key="cell", values=["rnn", "gru", "lstm"]))
    assert [job.cell for job in jobs] == ["rnn", "gru", "lstm"]
    (line,) = service.folded(queue.store)
    assert isinstance(line, ArrayView)
    assert (line.cell, line.corpus) == (None, "starter-zh")


def test_a_key_means_a_job_or_an_array(queue: JobQueue) -> None:
    jobs = submit(queue, SEEDS)
    ids = [job.id for job in jobs]
    assert [job.id for job in service.find_jobs(queue.store, "lr").jobs] == ids
    assert [job.id for job in service.find_jobs(queue.store, "lr-2").jobs] == ids[1:2]
    assert service.find_one(queue.store, "lr-2").id == ids[1]
    with pytest.raises(JobStateError, match="an array of 3 jobs"):
        service.find_one(queue.store, "lr")
    with pytest.raises(UnknownNameError, match="no job named 'rl'"):
        service.find_jobs(queue.store, "rl")
    assert service.recent_arrays(queue.store) == ["lr"]


def test_an_array_is_folded_and_counted(queue: JobQueue) -> None:
    before = queue.submit("before")
    jobs = submit(queue, RATES, SEEDS)
    after = queue.submit("after")
    service.request_pause(queue.store, jobs[0].id, ANN)
    service.request_cancel(queue.store, jobs[5].id, ANN)
    lines = service.folded(queue.store)
    assert [line.name for line in lines] == ["after", "lr", "before"]
    array = lines[1]
    assert isinstance(array, ArrayView)
    assert (array.first_id, array.last_id, array.jobs) == (jobs[0].id, jobs[5].id, 6)
    assert array.counts == {State.QUEUED: 4, State.PAUSED: 1, State.CANCELLED: 1}
    (paused,) = service.folded(queue.store, states=[State.PAUSED])
    assert isinstance(paused, ArrayView)
    assert paused.counts == {State.PAUSED: 1}
    assert [line.name for line in service.folded(queue.store, limit=2)] == ["after", "lr"]
    assert [job.id for job in service.jobs(queue.store)] == [
        after.id, *(job.id for job in reversed(jobs)), before.id
    ]  # fmt: skip


def test_members_are_ranked_by_validation_perplexity(queue: JobQueue) -> None:
    from job_queue import metric
    from versemill.jobs.execution import worker_api
    from versemill.jobs.execution.worker_api import ProgressRow

    jobs = submit(queue, SEEDS)
    for job, perplexity in zip(jobs[:2], (9.5, 7.5), strict=True):
        progress = ProgressRow(
            step=10,
            epoch=1,
            train_perplexity=5.0,
            valid_perplexity=perplexity,
            characters_per_second=1.0,
            seconds_left=None,
        )
        claim = queue.claim(job.id)
        worker_api.record(queue.store, claim, progress=progress, metrics=[metric(10)], lyrics=[])
    ranked = service.jobs(queue.store, array="lr", best_first=True)
    assert [job.id for job in ranked] == [jobs[1].id, jobs[0].id, jobs[2].id]
    (array,) = service.folded(queue.store)
    assert isinstance(array, ArrayView)
    assert array.valid_perplexity == 7.5


def test_both_ways_fold_alike(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)
    queue = JobQueue(store)
    queue.submit("before")
    submit(queue, RATES, SEEDS)
    queue.in_state(State.SUCCEEDED)
    for states in (None, [State.QUEUED], [State.FAILED]):
        ordinary = service.folded(store, limit=None, states=states)
        assert job_listing.folded(sqlite_url, states=states) == [
            replace(line, position=None, reason=None, expected_start=None)
            if isinstance(line, JobView)
            else line
            for line in ordinary
        ]
        listed = service.jobs(store, limit=None, states=states, array="lr", best_first=True)
        quick = job_listing.jobs(sqlite_url, states=states, array="lr", best_first=True) or []
        assert [job.id for job in quick] == [job.id for job in listed]
    store.close()


def test_submitting_by_another_way_cannot_take_an_arrays_name(queue: JobQueue) -> None:
    from job_queue import CONFIG, TEXT

    submit(queue, SEEDS)
    submission = Submission(config=CONFIG, text=TEXT, plugins=[], name="lr")
    with pytest.raises(ConfigError, match="a name that no other job has"):
        service.enqueue(queue.store, submission, ANN)
