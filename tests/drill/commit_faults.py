"""A worker that causes faults in itself: `python -m drill.commit_faults` takes a worker's options.

An order in a file makes it die, freeze or lose its connection at the next commit of a chosen kind,
where no signal from outside can be timed. Nothing else is changed but three measures: chunks of
checkpoints are small, so that small jobs have several, jobs may be pre-empted as soon as they have
run for a second, since they are short, and Python's clock may be wrong.

Imports nothing of the product at the top: every trainer process runs this module's head once more.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

ORDER = "order.json"
DONE = "done.json"
CLOCK = "DRILL_CLOCK_SECONDS"
CHUNK_BYTES = 16 * 1024

KILL_BEFORE = "killed before COMMIT"
KILL_AFTER = "killed after COMMIT"
FREEZE = "frozen in COMMIT"
LOSE = "COMMIT made, answer lost"
CHUNK = "a checkpoint's chunk"
COMPLETE = "a checkpoint's completion"


def main() -> None:
    """Sets up the faults, then is a worker."""
    _set_clock(float(os.environ.get(CLOCK, "0")))
    shrink_chunks()
    _allow_early_preemption()
    CommitFaults(Path(os.environ["VERSEMILL_HOME"])).install()

    from versemill_workers.__main__ import main as work

    work()


def shrink_chunks() -> None:
    """Makes chunks small in this process; all that share a database must do it."""
    from versemill.jobs.execution import checkpoints, worker_api

    checkpoints.CHUNK_BYTES = worker_api.CHUNK_BYTES = CHUNK_BYTES


def _allow_early_preemption() -> None:
    from versemill.jobs.execution import preemption

    preemption.LEAST_RUN_SECONDS = 1.0


def _set_clock(seconds: float) -> None:
    now, now_ns = time.time, time.time_ns
    time.time = lambda: now() + seconds
    time.time_ns = lambda: now_ns() + int(seconds * 1e9)


class CommitFaults:
    """Carries out one order at a time, each once.

    Args:
        home: where orders are looked for: `{"at": ..., "act": ...}` in `order.json`. `at` is a
            move like `queued to running`, `CHUNK`, `COMPLETE`, or None for any commit. The file
            becomes `done.json` as it is carried out.
    """

    def __init__(self, home: Path) -> None:
        self._order = home / ORDER
        self._done = home / DONE
        self._seen = threading.local()

    def install(self) -> None:
        """Listens to every statement and stands in for every commit."""
        from sqlalchemy import event
        from sqlalchemy.engine import Engine
        from sqlalchemy.engine.default import DefaultDialect

        event.listen(Engine, "before_cursor_execute", self._note)
        event.listen(Engine, "begin", self._forget)
        commit = DefaultDialect.do_commit

        def do_commit(dialect: Any, connection: Any) -> None:
            act = self._act()
            if act == KILL_BEFORE:
                os.kill(os.getpid(), signal.SIGKILL)
            elif act == FREEZE:
                os.kill(os.getpid(), signal.SIGSTOP)
            commit(dialect, connection)
            if act == KILL_AFTER:
                os.kill(os.getpid(), signal.SIGKILL)
            elif act == LOSE:
                connection.dbapi_connection.close()  # the driver's own, under the pool's
                raise dialect.loaded_dbapi.OperationalError("connection lost (drill)")

        DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]

    def _forget(self, _connection: Any) -> None:
        self._seen.places = set()

    def _note(self, _c: Any, _cursor: Any, sql: str, _p: Any, context: Any, _many: bool) -> None:
        places = getattr(self._seen, "places", set())
        if sql.startswith("INSERT INTO events"):
            values = context.compiled_parameters[0]
            places.add(f"{values.get('from_state')} to {values.get('to_state')}")
        elif sql.startswith("INSERT INTO checkpoint_chunks"):
            places.add(CHUNK)
        elif sql.startswith("UPDATE checkpoints SET sha256"):
            places.add(COMPLETE)

    def _act(self) -> str | None:
        try:
            order = json.loads(self._order.read_text())
            if order["at"] is not None and order["at"] not in self._seen.places:
                return None
            self._order.rename(self._done)  # of several threads one succeeds
        except (OSError, ValueError, AttributeError):
            return None
        return str(order["act"])


if __name__ == "__main__":
    main()
