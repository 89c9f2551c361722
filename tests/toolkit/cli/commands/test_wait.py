from __future__ import annotations

import threading
import time
from typing import Any

from versemill.jobs.states import State
from versemill.jobs.storage.unit_of_work import Store


def test_wait_ends_with_the_job(command: Any, queue: Any, home: Any) -> None:
    claim = queue.running("one")

    def finish() -> None:
        time.sleep(0.3)
        store = Store.open(f"sqlite:///{home / 'versemill.db'}")
        type(queue)(store).finish(claim)
        store.close()

    thread = threading.Thread(target=finish)
    thread.start()
    waited = command("wait", "one")
    thread.join()
    assert (waited.code, waited.out) == (0, "job 1 (one) succeeded\n")


def test_wait_tells_a_failure(command: Any, queue: Any) -> None:
    queue.finish(queue.running("one"), State.FAILED, error="boom")
    waited = command("wait", "one")
    assert waited.code == 1
    assert "failed: boom" in waited.out


def test_wait_times_out_and_says_that_no_worker_runs(command: Any, queue: Any) -> None:
    queue.submit("one")
    waited = command("wait", "one", "--timeout", "0")
    assert waited.code == 1
    remark, complaint = waited.err.splitlines()
    assert "versemill worker" in remark
    assert "still queued" in complaint


def test_wait_does_not_wait_for_a_paused_job(command: Any, queue: Any) -> None:
    queue.submit("one")
    command("pause", "one")
    assert command("wait", "one").code == 1
