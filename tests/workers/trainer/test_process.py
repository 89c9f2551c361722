"""What a trainer hands over, in a process of its own: losing its pipe ends it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from versemill.config.recipes import apply_overrides
from versemill.plugins.registry import Registry
from versemill.plugins.resolution import resolve
from versemill_workers.protocol import Order
from worker_cluster import SMALL, TEXT

if TYPE_CHECKING:
    from pathlib import Path

HANDS_OVER_TWICE = """
import json, multiprocessing, os, sys
from versemill_workers.protocol import Order, TrainerConnection, receive
from versemill.plugins.registry import Registry
from versemill_workers.trainer.process import _Trainer

ours, theirs = multiprocessing.Pipe()
order = Order.from_json(sys.stdin.read())
trainer = _Trainer(TrainerConnection(theirs, lease_seconds=60), order, Registry.discover(), None)
trainer._hand_over()
trainer._hand_over(final=True)
print(json.dumps([receive(ours) for _ in range(3)]), flush=True)
os._exit(0)
"""


WAITS_FOR_MESSAGES = """
import multiprocessing, sys, time
from versemill_workers.protocol import TrainerConnection, send

ours, theirs = multiprocessing.Pipe()
connection = TrainerConnection(theirs, lease_seconds=5)
for _ in range(7):
    time.sleep(1)
    send(ours, {"type": "alive"})
print("still there", flush=True)
if sys.argv[1] == "closed":
    ours.close()
time.sleep(60)
"""


@pytest.mark.parametrize(("then", "code"), [("silence", 71), ("closed", 70)])
def test_it_ends_itself_when_its_supervisor_is_silent_for_a_lease_or_gone(
    then: str, code: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WAITS_FOR_MESSAGES, then],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert (done.returncode, done.stdout) == (code, "still there\n"), done.stderr


def test_two_checkpoints_of_one_step_are_two_files(tmp_path: Path) -> None:
    # The first is removed once it is durable, which may be after the second was written.
    config = resolve(apply_overrides({}, SMALL), Registry.discover())
    (tmp_path / "corpus").write_bytes(TEXT.to_bytes())
    order = Order(
        job=1,
        name="twice",
        attempt=1,
        config=config.to_json(),
        spool=str(tmp_path),
        text="corpus",
        output="output.txt",
        resume=None,
        inexact=False,
        requirements=[],
        accepted_by=None,
        device="cpu",
        environment={},
        threads=1,
        checkpoint_seconds=60,
        tracking=str(tmp_path / "tracking"),
        lease_seconds=60,
    )
    done = subprocess.run(
        [sys.executable, "-c", HANDS_OVER_TWICE],
        input=order.to_json(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    provenance, first, second = json.loads(done.stdout)
    assert provenance["type"] == "provenance"
    assert first["step"] == second["step"]
    assert (first["is_final"], second["is_final"]) == (False, True)
    assert first["file"] != second["file"]
    assert all((tmp_path / message["file"]).is_file() for message in (first, second))
