"""What commands tell of the plugins that jobs need and workers have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from command_line import CONFIG, TEXT
from people import ANN
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.service import Submission
from versemill.plugins.record import PluginRecord
from versemill.plugins.requirements import OfferedPlugin

RECORD = {"kind": "cell", "name": "x", "distribution": "dist-y", "version": "1.2"}


@pytest.fixture
def job(queue: Any) -> Any:
    """A job that needs cell x from dist-y ≥ 1.2, where a worker has 1.1."""
    has = OfferedPlugin(**{**RECORD, "version": "1.1"})
    worker = replace(worker_api.register_worker(queue.store, "attic", 1), plugins=(has,))
    worker_api.heartbeat(queue.store, worker)
    submission = Submission(
        config=CONFIG, text=TEXT, plugins=[PluginRecord.from_json(RECORD)], name="one"
    )
    return service.enqueue(queue.store, submission, ANN).job


REASON = "needs cell 'x' from dist-y ≥ 1.2; no live worker has it; worker attic has cell 'x' from "


def test_why_it_waits(command: Any, job: Any) -> None:
    shown = command("show", "one").out
    assert f"  waits      {REASON}dist-y 1.1; install it where one runs, or go on" in shown
    assert "  needs      cell 'x' from dist-y ≥ 1.2\n" in shown
    assert command("show", "one", "--json").json["requirements"][0]["version"] == "1.2"
    assert REASON in command("wait", "one", "--timeout", "0").err


def test_accepting_a_change(command: Any, job: Any) -> None:
    command("pause", "one")
    resumed = command("resume", "one", "--accept-change")
    assert (resumed.code, resumed.err) == (0, "")  # the worker's will do now
    shown = command("show", "one").out
    assert "  accepted   a change of its plugins, by ann\n" in shown
    assert "ann: resumed; a change of its plugins is accepted\n" in shown


def test_accepting_it_by_a_retry(command: Any, job: Any) -> None:
    command("cancel", "one")
    assert REASON in command("retry", "one").err
    command("cancel", "one")
    assert command("retry", "one", "--accept-change").err == ""


def test_what_workers_have(command: Any, job: Any) -> None:
    assert "dist-y 1.1" in command("workers").out
    (worker,) = command("workers", "--json").json
    assert worker["plugins"] == [{**RECORD, "version": "1.1"}]


def test_built_ins_are_none_of_what_workers_have_besides(command: Any, queue: Any) -> None:
    gru = OfferedPlugin(kind="cell", name="gru", distribution="versemill", version="0.1.0")
    worker = worker_api.register_worker(queue.store, "attic", 1, version="9.9.9")
    worker_api.heartbeat(queue.store, replace(worker, plugins=(gru,)))
    assert command("workers").out.splitlines()[1].split()[-1] == "9.9.9"
