from __future__ import annotations

from typing import Any

from versemill.jobs import service


def test_rm_deletes(command: Any, queue: Any) -> None:
    queue.finished("one")
    assert command("rm", "one", "1", "--yes").out == "removed job 1 (one)\n"
    assert service.jobs(queue.store) == []


def test_rm_of_several_finds_all_before_it_deletes_any(command: Any, queue: Any) -> None:
    queue.submit("one")
    assert command("rm", "one", "two").code == 1
    assert len(service.jobs(queue.store)) == 1
