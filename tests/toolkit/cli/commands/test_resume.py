from __future__ import annotations

from typing import Any

from versemill.jobs import service


def test_pause_and_resume_a_waiting_job(command: Any, queue: Any) -> None:
    queue.submit("one")
    assert command("pause", "one").out == "job 1 (one) is paused\n"
    assert command("resume", "one", "--epochs", "60").code == 0
    job = service.find(queue.store, "one")
    assert (job.state, job.epochs) == ("queued", 60)


def test_epochs_may_be_added(command: Any, queue: Any) -> None:
    queue.finished("one")
    assert "--epochs" in command("resume", "one").complaint
    assert command("resume", "one", "--epochs", "+50").code == 0
    assert service.find(queue.store, "one").epochs == 100
