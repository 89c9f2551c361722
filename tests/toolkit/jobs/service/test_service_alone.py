"""The use cases without the command line, as a server would call them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from command_line import environment

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import json, sys
from pathlib import Path
from versemill.jobs import service
from versemill.jobs.service.following import follow
from versemill.jobs.service.local_worker import LocalWorker
from versemill.jobs.storage.unit_of_work import Store
from versemill.settings import Settings

settings = Settings.from_environment()
store = Store.open(settings.database_url)
ann = service.Principal("ann")
sources = service.TextSources(limit=settings.corpus_limit)
table = {
    "corpus_options": {"first": 1200},
    "model": {"hidden_size": 12, "embedding_size": 8},
    "training": {"batch_size": 4, "window": 16, "epochs": 2, "report_every": 1},
    "generation": {"length": 30},
}
found = {"notices": [], "stopped": [], "lyrics": []}
for number, corpus in enumerate(("starter-zh", sys.argv[1])):
    job = {**table, "corpus": corpus, "name": f"job-{number}"}
    queued = service.submit(store, job, ann, sources)
    found["notices"] += [notice.to_json() for notice in queued.notices]
    with LocalWorker(settings, queued.job.id):
        *_, last = follow(store, queued.job, from_start=True)
    found["stopped"].append(last.job.state)
    found["lyrics"].append(len(service.lyrics(store, queued.job.id)))
found["owner"] = service.find(store, "@last", ann).owner
service.remove(store, last.job.id, ann)
found["left"] = [job.name for job in service.jobs(store)]
store.close()
found["interfaces"] = [name for name in sys.modules if name.startswith("versemill.cli")]
print(json.dumps(found))
"""


@pytest.mark.slow
def test_submits_follows_and_fetches_lyrics(tmp_path: Path) -> None:
    corpus = tmp_path / "verses.txt"
    lines = [f"the river bends {number} times below the old mill\n" for number in range(200)]
    corpus.write_text("".join(lines), encoding="utf-16")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(corpus)],
        env=environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["stopped"] == ["succeeded", "succeeded"]
    assert all(count > 0 for count in found["lyrics"])
    (printed,) = found["notices"]
    assert (printed["code"], printed["guessed"]) == ("encoding-found", False)
    assert printed["message"] == f"{corpus} is read as {printed['encoding']}"
    assert (found["owner"], found["left"]) == ("ann", ["job-0"])
    assert found["interfaces"] == []
    assert done.stderr == ""
