"""`run` means here and now: what cannot be done here is refused, and the job left as it was."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from command_line import CONFIG, TEXT, TINY_OPTIONS, environment
from people import ANN
from versemill import __version__
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.service import local_fit
from versemill.jobs.storage.plugin_fit import keep_requirements
from versemill.jobs.storage.tables import Job, Worker
from versemill.plugins.record import PluginRecord

if TYPE_CHECKING:
    from pathlib import Path

ELSEWHERE = PluginRecord(kind="cell", name="x", distribution="dist-y", version="1.2")
NEWER = PluginRecord(kind="cell", name="gru", distribution="versemill", version="999")


def submit(queue: Any, record: PluginRecord) -> int:
    submission = service.Submission(config=CONFIG, text=TEXT, plugins=[record], name="one")
    return service.enqueue(queue.store, submission, ANN).job.id


def row(queue: Any) -> tuple[Any, ...]:
    """What of the job a refused command must not change."""
    columns = (
        Job.state,
        Job.queued_at,
        Job.inexact,
        Job.accepted_by,
        Job.requirements,
        Job.attempt,
    )
    with queue.store.reading() as session:
        return tuple(session.execute(select(*columns)).one())


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("options", [[], ["--accept-change"], ["--inexact"]])
def test_a_plugin_that_is_not_here(
    command: Any, queue: Any, options: list[str], paused: bool
) -> None:
    number = submit(queue, ELSEWHERE)
    if paused:
        service.request_pause(queue.store, number, ANN)
    before = row(queue)
    message = command("run", "one", *options).complaint
    needed = "cell 'x'" if "--accept-change" in options else "cell 'x' from dist-y ≥ 1.2"
    assert message == (
        f"job {number} (one) cannot go on here: it needs {needed}; not installed here; install it"
    )
    assert row(queue) == before


def test_a_plugin_that_is_here_in_another_version(command: Any, queue: Any) -> None:
    number = submit(queue, NEWER)
    before = row(queue)
    message = command("run", "one").complaint
    assert message == (
        f"job {number} (one) cannot go on here: it needs cell 'gru' from versemill ≥ 999; here is "
        f"cell 'gru' from versemill {__version__}; install it, or `versemill run {number} "
        "--accept-change`"
    )
    assert row(queue) == before


def test_a_plugin_that_is_disabled(
    command: Any, queue: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text("raise ValueError('out of tune')")
    monkeypatch.setenv("VERSEMILL_PLUGINS", str(tmp_path))
    submit(queue, replace(ELSEWHERE, distribution="broken.py"))
    assert "; broken.py is disabled: import failed: ValueError: out of tune; install it" in (
        command("run", "one").complaint
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plan", "found"),
    [("cpu ABACUS, torch 9.0", "this is cpu "), ("cuda LOOM, torch 9.0", "")],
)
def test_a_machine_that_computes_in_another_way(
    command: Any, queue: Any, plan: str, found: str
) -> None:
    number = queue.submit("one").id
    with queue.store.unit_of_work() as uow:
        uow.execute(update(Job).values(machine=plan))
        uow.commit()
    service.request_pause(queue.store, number, ANN)
    before = row(queue)
    message = command("run", "one").complaint
    assert f"(one) goes on bit for bit only on {plan}; {found}" in message
    assert message.endswith(f"allow small differences: `versemill run {number} --inexact`")
    assert row(queue) == before


def test_a_job_that_another_worker_holds(
    command: Any, queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_fit, "_RELEASE_SECONDS", 0.0)
    claim = queue.running("one")
    message = command("run", "one").complaint
    assert "(one) is running on worker attic; `versemill wait 1` waits for its end" in message
    assert service.find(queue.store, "one").worker == "attic"
    worker_api.renew(queue.store, claim)  # it still holds the job


def test_a_job_whose_worker_has_died_here_is_not_refused(queue: Any) -> None:
    job = queue.submit("one")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    worker = worker_api.register_worker(queue.store, "attic", 1)
    assert worker_api.claim(queue.store, worker, only=job.id) is not None
    with queue.store.unit_of_work() as uow:
        uow.execute(update(Worker).values(pid=ended.pid))
        uow.commit()
    running = service.find(queue.store, "one")
    found, devices = local_fit.require_fit(queue.store, running, inexact=False, accept_change=False)
    assert (found.state, devices) == ("running", "auto")  # until its lease has run out


SAMPLER = """
from versemill.plugins.hookspecs import hookimpl

@hookimpl
def versemill_register_samplers(register):
    register("mine", ":Mine", summary="a built-in by another name")

def __getattr__(name):
    if name != "Mine":
        raise AttributeError(name)
    from versemill_plugins.samplers.random import RandomSampler
    return RandomSampler
"""


@pytest.mark.slow
def test_a_job_whose_checkpoint_turns_out_to_need_another_plugin(
    home: Path, queue: Any, tmp_path: Path
) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "versemill", "run", *arguments],
            env=environment(home) | {"VERSEMILL_PLUGINS": str(place.parent)},
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    place = tmp_path / "plugins" / "mine.py"
    place.parent.mkdir()
    place.write_text(SAMPLER)
    done = run("--sampler", "mine", "--name", "one", *TINY_OPTIONS)
    assert done.returncode == 0, done.stderr
    place.write_text(SAMPLER + "# another version\n")
    with queue.store.unit_of_work() as uow:  # as of a version that recorded none
        uow.execute(update(Job).values(requirements=keep_requirements(uow, ())))
        uow.commit()
    done = run("one", "--epochs", "+1")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("versemill: job 1 (one) cannot go on here: it needs sampler 'mine' from")
    assert last.endswith("or `versemill run 1 --accept-change`")
    assert service.find(queue.store, "one").state == "paused"
    done = run("one", "--accept-change")
    assert done.returncode == 0, done.stderr
