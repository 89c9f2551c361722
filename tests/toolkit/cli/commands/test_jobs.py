from __future__ import annotations

from typing import Any

from sqlalchemy import update

from versemill.cli.terminal.tables import cell_width
from versemill.jobs.states import State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Job, Worker


def test_jobs_as_json_newest_first(command: Any, queue: Any) -> None:
    queue.submit("one")
    queue.submit("第二")
    listed = command("jobs", "--json")
    assert listed.code == 0
    assert [job["name"] for job in listed.json] == ["第二", "one"]
    assert (
        listed.json[1] | {"id": 1, "state": "queued", "corpus": "starter-zh", "cell": "gru"}
        == (listed.json[1])
    )
    assert "第二" in listed.out  # readable, not \u escapes


def test_no_jobs_is_an_empty_list_and_a_remark_on_stderr(command: Any) -> None:
    assert command("jobs", "--json").json == []
    listed = command("jobs")
    assert (listed.code, listed.out) == (0, "")
    assert "versemill demo" in listed.err


def test_columns_align_with_chinese_names(command: Any, queue: Any) -> None:
    queue.finished("第一首很长的歌")
    queue.submit("two")
    header, *lines = command("jobs").out.splitlines()
    at = cell_width(header[: header.index("CORPUS")])
    for line in lines:
        assert cell_width(line[: line.index("starter-zh")]) == at


def test_a_pipe_gets_whole_names(command: Any, queue: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    queue.submit("n" * 100)
    assert "n" * 100 in command("jobs").out


def test_jobs_can_be_chosen(command: Any, queue: Any) -> None:
    queue.finished("done")
    queue.submit("waiting")
    assert [j["name"] for j in command("jobs", "--state", "queued", "--json").json] == ["waiting"]
    assert [j["name"] for j in command("jobs", "--limit", "1", "--json").json] == ["waiting"]
    assert len(command("jobs", "--mine", "--json").json) == 2


def test_a_job_without_its_worker_is_shown_as_interrupted(command: Any, queue: Any) -> None:
    claim = queue.running("lost")
    with queue.store.unit_of_work() as uow:
        uow.execute(update(Job).where(Job.id == claim.job_id).values(lease_until=db_now(-1)))
        uow.commit()
    assert "interrupted" in command("jobs").out


def test_a_job_is_meant_by_id_name_or_last(command: Any, queue: Any) -> None:
    queue.submit("one")
    queue.submit("two")
    assert command("show", "1", "--json").json["name"] == "one"
    assert command("show", "two", "--json").json["id"] == 2
    assert command("show", "@last", "--json").json["id"] == 2


def test_show_prints_figures_settings_and_events(command: Any, queue: Any) -> None:
    queue.finished("done")
    message = command("show", "done").out
    assert "job 1 (done): succeeded" in message
    assert "training   perplexity 6.00 per character (on the training text)" in message
    assert "claimed by worker attic" in message
    assert "hidden_size = 256" in message


def test_show_prints_why_a_job_failed(command: Any, queue: Any) -> None:
    queue.finish(queue.running("bad"), State.FAILED, error="loss became nan in epoch 3")
    assert "loss became nan in epoch 3" in command("show", "bad").out


def test_logs_print_what_the_trainer_printed(command: Any, queue: Any) -> None:
    from versemill.jobs.execution import worker_api

    claim = queue.running("loud")
    worker_api.record(queue.store, claim, output="hello\n你好\n")
    assert command("logs", "loud").out == "hello\n你好\n"
    assert command("logs", "loud", "--json").json[0]["output"] == "hello\n你好\n"


def test_followed_logs_end_with_the_job(command: Any, queue: Any) -> None:
    from versemill.jobs.execution import worker_api

    claim = queue.running("loud")
    worker_api.record(queue.store, claim, output="hello\n")
    queue.finish(claim)
    assert command("logs", "-f", "loud").out == "hello\n"


def test_workers_are_listed(command: Any, queue: Any) -> None:
    assert command("workers", "--json").json == []
    queue.running()
    (worker,) = command("workers", "--json").json
    assert (worker["name"], worker["slots"], worker["busy"]) == ("attic", 1, 1)
    assert "1 of 1" in command("workers").out


class TestWorkersHere:
    """The health check of a container: its exit code is what counts."""

    def test_a_live_one_is_healthy(self, command: Any, queue: Any) -> None:
        queue.running()
        found = command("workers", "--here", "--json")
        assert (found.code, [worker["name"] for worker in found.json]) == (0, ["attic"])
        assert command("workers", "--here").code == 0

    def test_one_of_another_machine_does_not_count(self, command: Any, queue: Any) -> None:
        queue.running()
        _update_workers(queue, host="elsewhere")
        assert len(command("workers", "--json").json) == 1
        found = command("workers", "--here", "--json")
        assert (found.code, found.json) == (1, [])

    def test_one_that_has_not_looked_for_work_is_unhealthy(self, command: Any, queue: Any) -> None:
        queue.running()
        _update_workers(queue, seen_at=db_now(-31))
        found = command("workers", "--here")
        assert found.code == 1
        assert "no worker is running on this machine" in found.err

    def test_without_the_option_none_is_no_failure(self, command: Any) -> None:
        assert command("workers").code == 0


def _update_workers(queue: Any, **values: Any) -> None:
    with queue.store.unit_of_work() as uow:
        uow.execute(update(Worker).values(**values))
        uow.commit()


def test_database_status(command: Any, home: Any) -> None:
    status = command("db", "status", "--json")
    assert (status.code, status.json["verdict"]) == (0, "current")
    assert "already has schema" in command("db", "upgrade").out
    (home / "versemill.db").unlink()
    missing = command("db", "status")
    assert missing.code == 1
    assert "versemill db upgrade" in missing.out
    assert not (home / "versemill.db").exists()  # looking creates nothing
