from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from versemill.jobs import service
from versemill.jobs.states import State
from versemill.jobs.storage.unit_of_work import Store


def state(floor: Any, key: str) -> str:
    return str(service.find(floor.store, key).state)


def test_cancel_and_retry_a_waiting_job(command: Any, floor: Any) -> None:
    floor.submit("one")
    assert command("cancel", "one").out == "job 1 (one) is cancelled\n"
    retried = command("retry", "one")
    assert (retried.code, state(floor, "one")) == (0, "queued")
    assert "versemill worker" in retried.err


def test_pause_and_resume_a_waiting_job(command: Any, floor: Any) -> None:
    floor.submit("one")
    assert command("pause", "one").out == "job 1 (one) is paused\n"
    assert command("resume", "one", "--epochs", "60").code == 0
    job = service.find(floor.store, "one")
    assert (job.state, job.epochs) == ("queued", 60)


def test_a_running_job_is_asked(command: Any, floor: Any) -> None:
    floor.running("one")
    assert "will be paused after a checkpoint" in command("pause", "one").out
    assert "pausing" in command("jobs").out


def test_several_jobs_at_once(command: Any, floor: Any) -> None:
    for name in ("a", "b"):
        floor.submit(name)
    assert len(command("cancel", "a", "b").out.splitlines()) == 2


def test_epochs_may_be_added(command: Any, floor: Any) -> None:
    floor.finished("one")
    assert "--epochs" in command("resume", "one").complaint
    assert command("resume", "one", "--epochs", "+50").code == 0
    assert service.find(floor.store, "one").epochs == 100


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("resume", "one"), "cannot be resumed"),
        (("retry", "one"), "only failed and cancelled"),
        (("rm", "one"), "versemill cancel 1"),
    ],
)
def test_what_a_running_job_does_not_allow(
    command: Any, floor: Any, arguments: tuple[str, ...], words: str
) -> None:
    floor.running("one")
    done = command(*arguments)
    assert done.code == 1
    assert words in done.complaint


@pytest.mark.parametrize(
    "name",
    [
        "show", "logs", "curve", "lyrics", "wait", "cancel", "pause", "resume", "retry", "rm",
        "run", "generate", "evaluate",
    ],
)  # fmt: skip
def test_an_unknown_job(command: Any, floor: Any, name: str) -> None:
    floor.submit("evening-song")
    done = command(name, "evening-sing")
    assert done.code == 1
    assert "no job named 'evening-sing'" in done.complaint
    assert "did you mean 'evening-song'?" in done.complaint


def test_rm_deletes(command: Any, floor: Any) -> None:
    floor.finished("one")
    assert command("rm", "one", "1", "--yes").out == "removed job 1 (one)\n"
    assert service.jobs(floor.store) == []


def test_rm_of_several_finds_all_before_it_deletes_any(command: Any, floor: Any) -> None:
    floor.submit("one")
    assert command("rm", "one", "two").code == 1
    assert len(service.jobs(floor.store)) == 1


def test_wait_ends_with_the_job(command: Any, floor: Any, home: Any) -> None:
    claim = floor.running("one")

    def finish() -> None:
        time.sleep(0.3)
        store = Store.open(f"sqlite:///{home / 'versemill.db'}")
        type(floor)(store).finish(claim)
        store.close()

    thread = threading.Thread(target=finish)
    thread.start()
    waited = command("wait", "one")
    thread.join()
    assert (waited.code, waited.out) == (0, "job 1 (one) succeeded\n")


def test_wait_tells_a_failure(command: Any, floor: Any) -> None:
    floor.finish(floor.running("one"), State.FAILED, error="boom")
    waited = command("wait", "one")
    assert waited.code == 1
    assert "failed: boom" in waited.out


def test_wait_gives_up_and_says_that_nobody_works(command: Any, floor: Any) -> None:
    floor.submit("one")
    waited = command("wait", "one", "--timeout", "0")
    assert waited.code == 1
    remark, complaint = waited.err.splitlines()
    assert "versemill worker" in remark
    assert "still queued" in complaint


def test_wait_does_not_wait_for_a_paused_job(command: Any, floor: Any) -> None:
    floor.submit("one")
    command("pause", "one")
    assert command("wait", "one").code == 1
