"""Real processes whose URLs hold a password that nothing they say or show may repeat."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psutil
import pytest
from sqlalchemy import make_url

from worker_cluster import ENDLESS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker_cluster import Cluster

pytestmark = pytest.mark.timeout(400)

SECRET = "Qx7 Zj/é'%@9"
ENCODED = quote(SECRET, safe="")


def assert_unsaid(text: str) -> None:
    for spelling in (SECRET, ENCODED, quote(SECRET), repr(SECRET)[1:-1], json.dumps(SECRET)[1:-1]):
        assert spelling not in text
    assert "Qx7" not in text


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which nothing listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{unused.getsockname()[1]}"


def command(cluster: Cluster, *arguments: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "versemill", *arguments],
        env=cluster.environment | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
        check=False,
    )
    return done.stdout.decode()


def test_a_worker_without_its_broker_works_and_keeps_the_secret(
    sqlite_cluster: Cluster, nobody: str
) -> None:
    sqlite_cluster.environment["VERSEMILL_BROKER_URL"] = f"redis://ann:{ENCODED}@{nobody}/0"
    job = sqlite_cluster.submit()
    worker = sqlite_cluster.start_worker("--name", "attic")
    sqlite_cluster.until(lambda: "does not answer" in sqlite_cluster.log())
    sqlite_cluster.until_state(job, "succeeded")
    family = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
    for process in family:
        assert_unsaid(" ".join(process.cmdline()) + process.name())
    assert nobody in sqlite_cluster.log(), "addresses may be shown"
    for arguments in (
        ("jobs",),
        ("show", str(job.id)),
        ("workers",),
        ("doctor",),
        ("jobs", "--json"),
    ):
        assert_unsaid(command(sqlite_cluster, *arguments))
    said = command(sqlite_cluster, "submit", "--corpus", "starter-en")
    assert "did not answer" in said
    assert_unsaid(said)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    assert_unsaid(sqlite_cluster.log())


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:{}@{}/mill",
        "postgresql://ann@{1}/mill?password={0}",
        "postgresql://ann:Qx7@Zj@{1}/mill{0:.0}",
    ],
)
def test_whatever_cannot_reach_its_database_keeps_the_secret(
    sqlite_cluster: Cluster, nobody: str, url: str
) -> None:
    variables = {"VERSEMILL_DATABASE_URL": url.format(ENCODED, nobody)}
    sqlite_cluster.environment |= variables
    worker = sqlite_cluster.start_worker()
    assert worker.wait(90) == 1
    assert sqlite_cluster.log().startswith("versemill worker: ")
    assert_unsaid(sqlite_cluster.log())
    for arguments in (
        ("jobs",), ("db", "status"), ("db", "status", "--json"), ("db", "upgrade"), ("doctor",),
        ("doctor", "--json"), ("corpora", "list"),
    ):  # fmt: skip
        said = command(sqlite_cluster, *arguments, **variables)
        assert "Traceback" not in said
        assert_unsaid(said)


def test_a_broker_url_that_can_be_read_in_two_ways_is_refused(
    sqlite_cluster: Cluster, nobody: str
) -> None:
    sqlite_cluster.environment["VERSEMILL_BROKER_URL"] = f"redis://:Qx7@Zj@{nobody}/0"
    worker = sqlite_cluster.start_worker()
    assert worker.wait(90) == 1
    assert "%40 for @" in sqlite_cluster.log()
    assert sqlite_cluster.log().count("\n") == 1
    assert_unsaid(sqlite_cluster.log())
    said = command(sqlite_cluster, "doctor")
    assert "VERSEMILL_BROKER_URL (redis://***) can be read in two ways" in said
    assert_unsaid(said)


BREAKS_OFF = """
import sys, threading
from versemill.settings import Settings
from versemill_workers.start import _log_without_secrets

settings = Settings.from_environment()
_log_without_secrets(settings)

def fail():
    raise RuntimeError(f"no login at {settings.database_url}")

thread = threading.Thread(target=fail, name="claims")
thread.start()
thread.join()
fail()
"""


def test_what_ends_a_thread_or_the_worker_is_told_without_the_secret(
    sqlite_cluster: Cluster,
) -> None:
    environment: dict[str, Any] = sqlite_cluster.environment | {
        "VERSEMILL_DATABASE_URL": f"postgresql://ann:{ENCODED}@db/mill"
    }
    done = subprocess.run(
        [sys.executable, "-c", BREAKS_OFF], env=environment, capture_output=True, check=False
    )
    said = done.stderr.decode()
    assert done.returncode == 1
    assert "thread claims breaks off" in said
    assert said.count("RuntimeError: no login at postgresql://ann:***@db/mill") == 2
    assert_unsaid(said)


SEES = """
import json, os
from pathlib import Path

from versemill.plugins import Tracker, hookimpl

@hookimpl
def versemill_register_trackers(register):
    register("sees", ":Sees", summary="writes down its environment")

class Sees(Tracker):
    def started(self, run):
        (Path(self.folder) / "seen.json").write_text(json.dumps(dict(os.environ)))
"""


def test_trainers_and_trackers_do_not_inherit_what_leads_to_the_database(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "plugins" / "sees.py"
    place.parent.mkdir()
    place.write_text(SEES)
    monkeypatch.setenv("VERSEMILL_PLUGINS", str(place.parent))
    url = make_url(cluster.environment["VERSEMILL_DATABASE_URL"])
    if url.get_backend_name() == "postgresql":  # found by libpq's variables alone
        cluster.environment |= {
            "VERSEMILL_DATABASE_URL": "postgresql://",
            "PGHOST": str(url.host or url.query["host"]),
            "PGPORT": str(url.port or url.query.get("port", "")),
            "PGUSER": str(url.username),
            "PGDATABASE": str(url.database),
        }
    cluster.environment |= {
        "PGPASSWORD": SECRET,
        "PGPASSFILE": str(tmp_path / "pgpass"),
        "VERSEMILL_BROKER_URL": f"redis://ann:{ENCODED}@127.0.0.1:1/0",
        "VERSEMILL_TOKEN": "of-a-version-to-come",
        "REDIS_URL": f"redis://other:{ENCODED}@db/0",
        "REDIS_PASSWORD": SECRET,
        "VERSEMILL_PLUGINS": str(place.parent),
        "OWN_SETTING": "kept",
    }
    job = cluster.submit(**ENDLESS, trackers=["sees"])
    worker = cluster.start_worker()
    trainer = cluster.until_training(job)
    seen = cluster.until(lambda: [*cluster.home.glob("tracking/*/seen.json")])[0]
    environments = [trainer.environ(), json.loads(cluster.until(seen.read_text))]
    environments += [c.environ() for c in psutil.Process(worker.pid).children(recursive=True)]
    for environment in environments:
        assert_unsaid(str(environment))
        names = {n for n in environment if n.startswith(("PG", "VERSEMILL_", "REDIS_"))}
        assert names == {"VERSEMILL_HOME", "VERSEMILL_PLUGINS", "VERSEMILL_CHECKPOINT_SECONDS"}
        assert environment["OWN_SETTING"] == "kept"
