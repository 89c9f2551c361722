"""`db upgrade`, `db copy-to` and `db backup`: what they say, and how they fail."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, make_url, update

from command_line import environment
from versemill.jobs.execution import worker_api
from versemill.jobs.storage import database
from versemill.jobs.storage.tables import CheckpointChunk, Worker

if TYPE_CHECKING:
    from pathlib import Path

    from command_line import CommandLineQueue


@pytest.fixture
def gone(queue: CommandLineQueue) -> str:
    """A finished job whose worker has ended; its name."""
    queue.finished("小调")
    with queue.store.unit_of_work() as uow:
        uow.execute(delete(Worker))
        uow.commit()
    return "小调"


def test_upgrading_while_a_worker_is_alive(
    command: Any, queue: CommandLineQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = worker_api.register_worker(queue.store, "attic", 1)
    monkeypatch.setattr(database, "REVISIONS", (*database.REVISIONS, "0999"))
    monkeypatch.setattr(database, "HEAD", "0999")
    refused = command("db", "upgrade")
    assert refused.code == 1
    named = f"attic (host {worker.host}, pid {worker.pid}); end them where they run"
    assert f"is not upgraded while workers are alive: {named}" in refused.complaint


def test_moving_up_and_going_on_there(
    command: Any, gone: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_url(postgres_url).set(password="secret").render_as_string(hide_password=False)
    before = command("show", gone, "--json").json
    copied = command("db", "copy-to", url)
    assert copied.code == 0, copied.err
    assert "secret" not in copied.out + copied.err
    assert [line.split() for line in copied.out.splitlines() if "metrics" in line] == [
        ["metrics", "20"]
    ]
    assert "Next: set VERSEMILL_DATABASE_URL to it" in copied.out
    monkeypatch.setenv("VERSEMILL_DATABASE_URL", url)
    assert command("show", gone, "--json").json == before


def test_an_installation_in_use_is_not_moved(
    command: Any, queue: CommandLineQueue, postgres_url: str
) -> None:
    claim = queue.running("小调")
    refused = command("db", "copy-to", postgres_url)
    assert refused.code == 1
    assert f"worker attic is working on job {claim.job_id} (小调)" in refused.complaint


@pytest.mark.parametrize("url", ["mysql://ann:secret@host/x", "nonsense"])
def test_a_target_that_is_none(command: Any, url: str) -> None:
    refused = command("db", "copy-to", url)
    assert refused.code == 1
    assert refused.complaint.startswith("URL ")
    assert "secret" not in refused.complaint


def test_a_backup_is_an_installation(
    command: Any, gone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = command("show", gone, "--json").json
    monkeypatch.chdir(tmp_path)
    written = command("db", "backup", "kept.db")
    assert written.code == 0, written.err
    assert "wrote kept.db (" in written.out
    named = written.out.rpartition("VERSEMILL_DATABASE_URL=")[2].split()[0]
    monkeypatch.setenv("VERSEMILL_DATABASE_URL", named)
    assert command("show", gone, "--json").json == before
    again = command("db", "backup", "kept.db")
    assert again.code == 1
    assert "kept.db is there already" in again.complaint


def test_a_damaged_checkpoint_is_named_on_stderr(
    command: Any, queue: CommandLineQueue, tmp_path: Path
) -> None:
    claim = queue.running("小调")
    number = worker_api.begin_checkpoint(
        queue.store, claim, step=1200, epoch=1, size=7, is_last=True
    )
    worker_api.add_chunk(queue.store, claim, number, 0, b"weights")
    with queue.store.unit_of_work() as uow:
        uow.execute(update(CheckpointChunk).values(data=b"weighty"))
        uow.commit()
    written = command("db", "backup", tmp_path / "kept.db")
    assert written.code == 0
    assert written.err == (
        f"checkpoint {number} (step 1,200) of job {claim.job_id} (小调) was damaged before, "
        "and was copied as it is\n"
    )


def test_no_room_for_a_backup(command: Any, gone: str, home: Path, tmp_path: Path) -> None:
    """No file of this process may be larger than 100 KiB."""
    (tmp_path / "backups").mkdir()
    backup = [sys.executable, "-m", "versemill", "db", "backup", str(tmp_path / "backups/kept.db")]
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 100; exec "$@"', "bash", *backup],
        env=environment(home),
        capture_output=True,
        timeout=120,
        check=False,
    )
    said = done.stderr.decode()
    assert (done.returncode, len(said.splitlines())) == (1, 1), said
    assert said.startswith("versemill: database sqlite:///")
    assert list((tmp_path / "backups").iterdir()) == []
