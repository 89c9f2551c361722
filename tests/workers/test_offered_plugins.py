"""A worker's plugins: those that appear, that change between attempts, and whoever accepts that."""

from __future__ import annotations

import hashlib
import threading
from multiprocessing import get_context
from typing import TYPE_CHECKING

import pytest

from people import ANN
from versemill.config.recipes import apply_overrides
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.service import Submission
from versemill.plugins.record import PluginRecord
from versemill.plugins.registry import Registry
from versemill.plugins.resolution import resolve
from versemill.settings import Settings
from versemill_workers.supervisor.attempt import Supervisor
from versemill_workers.trainer import entry
from worker_cluster import ENDLESS, SMALL, TEXT, Cluster, command

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(400)

PLUGIN = """
from versemill.plugins import hookimpl

@hookimpl
def versemill_register_samplers(register):
    register("mine", ":Mine", summary="a built-in by another name")

def __getattr__(name):
    if name != "Mine":
        raise AttributeError(name)
    from versemill_plugins.samplers.random import RandomSampler
    return RandomSampler
"""


def version(place: Path) -> str:
    return hashlib.sha256(place.read_bytes()).hexdigest()[:12]


def test_a_plugin_that_appears_and_one_that_changed(
    sqlite_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    place = folder / "mine.py"
    place.write_text(PLUGIN)
    monkeypatch.setenv("VERSEMILL_PLUGINS", str(folder))
    sqlite_cluster.environment["VERSEMILL_PLUGINS"] = str(folder)
    registry = Registry.discover()
    config = resolve(apply_overrides({}, SMALL | ENDLESS | {"sampler": "mine"}), registry)
    records = [registry.find("sampler", "mine").record({})]
    submission = Submission(config=config, text=TEXT, plugins=records)
    job = service.enqueue(sqlite_cluster.store, submission, ANN).job
    first, words = version(place), f"needs sampler 'mine' from mine.py = {version(place)}"
    place.unlink()

    sqlite_cluster.start_worker("--name", "attic")
    sqlite_cluster.until_ready()
    assert str(service.waiting(sqlite_cluster.store, job.id)) == f"{words}; no live worker has it"
    place.write_text(PLUGIN)  # the worker sees that by itself
    sqlite_cluster.until_training(job)
    sqlite_cluster.until_checkpoint(job)
    service.request_pause(sqlite_cluster.store, job.id, ANN)
    step = sqlite_cluster.until_state(job, "paused").step

    place.write_text(PLUGIN + "# another version\n")
    service.resume(sqlite_cluster.store, job.id, ANN)
    sqlite_cluster.until(lambda: "attic has" in str(service.waiting(sqlite_cluster.store, job.id)))
    shown = command(sqlite_cluster, "show", str(job.id))
    assert f"waits      {words}; no live worker has it; worker attic has sampler 'mine' " in shown
    assert f"versemill resume {job.id} --accept-change" in shown
    assert (
        len(service.details(sqlite_cluster.store, job.id).attempts) <= 2
    )  # it is not tried in vain

    command(sqlite_cluster, "pause", str(job.id))
    command(sqlite_cluster, "resume", str(job.id), "--accept-change")
    sqlite_cluster.until_checkpoint(job, after=step)
    change = f"sampler 'mine': mine.py {first} → {version(place)}"
    message = sqlite_cluster.messages(job)
    assert "resumed; a change of its plugins is accepted" in message
    assert f"goes on changed, as ann accepted: {change}" in message
    needed = service.details(sqlite_cluster.store, job.id).requirements
    assert version(place) in {requirement.version for requirement in needed}


def test_a_trainer_that_lacks_a_plugin_hands_its_job_back(
    sqlite_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERSEMILL_HOME", str(tmp_path))
    config = resolve(apply_overrides({}, SMALL), Registry.discover())
    record = PluginRecord(kind="cell", name="gru", distribution="versemill", version="999")
    submission = Submission(config=config, text=TEXT, plugins=[record])
    job = service.enqueue(sqlite_cluster.store, submission, ANN).job
    worker = worker_api.register_worker(sqlite_cluster.store, "here", 1)
    claim = worker_api.claim(sqlite_cluster.store, worker)
    assert claim is not None
    context = get_context("forkserver")
    context.set_forkserver_preload(entry.PRELOADED)
    supervisor = Supervisor(
        Settings.from_environment(), sqlite_cluster.store, claim, 1, context, threading.Event()
    )
    assert supervisor.run()
    assert supervisor.plugin_mismatch
    assert sqlite_cluster.job(job).state == "queued"
    assert sqlite_cluster.messages(job)[-1] == (
        "needs cell 'gru' from versemill ≥ 999, which this worker does not have now; handed back"
    )
    assert not worker_api.runnable(sqlite_cluster.store, worker)  # for a few seconds
