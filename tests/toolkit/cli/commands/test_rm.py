from __future__ import annotations

from typing import Any

from versemill.jobs import service


def test_rm_deletes(command: Any, floor: Any) -> None:
    floor.finished("one")
    assert command("rm", "one", "1", "--yes").out == "removed job 1 (one)\n"
    assert service.jobs(floor.store) == []


def test_rm_of_several_finds_all_before_it_deletes_any(command: Any, floor: Any) -> None:
    floor.submit("one")
    assert command("rm", "one", "two").code == 1
    assert len(service.jobs(floor.store)) == 1
