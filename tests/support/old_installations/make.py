"""Makes an installation with the Versemill of a certain commit, for tests of later versions.

Everything is done by the command line. Run it in a checkout of the commit that is to be kept:

    git worktree add /tmp/then COMMIT
    cd /tmp/then && python3.11 -m venv .venv && .venv/bin/pip install -c constraints.txt -e '.[dev]'
    .venv/bin/python PATH/OF/THIS/make.py FOLDER --commit COMMIT

FOLDER lies beside this file and is named after the database's revision. It then holds:

    versemill.db.gz     the database, with the jobs below and the corpus `poems`
    CELL.safetensors    an exported checkpoint of each cell
    recorded.json       what the commands said of all of it, how the job `paused` ends where
                        nobody pauses it, and which machine has computed it

| job       | cell | state                                                                 |
|-----------|------|-----------------------------------------------------------------------|
| finished  | lstm | succeeded                                                             |
| paused    | gru  | paused in the middle of an epoch, after validations; carries its state |
| cancelled | rnn  | cancelled, with a checkpoint                                          |
| waiting   | gru  | queued, never begun                                                   |

What is made differs from run to run in times and in the steps at which jobs were stopped.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import platform
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PAUSED_EPOCHS = 6
SMALL = (
    "model.hidden_size=8",
    "model.embedding_size=8",
    "training.report_every=2",
    "generation.length=40",
)
FINISHED = (
    *("--cell", "lstm", "--epochs", "4", "--prefix", "分开", "--prefix", "不分开"),
    *("--set", "corpus_options.first=600"),
    *("--set", "training.batch_size=4", "--set", "training.window=16"),
    *(word for setting in SMALL for word in ("--set", setting)),
)
PAUSED = (
    *("--cell", "gru", "--sampler", "consecutive", "--corpus", "starter-en"),
    *("--epochs", str(PAUSED_EPOCHS), "--prefix", "The ", "--prefix", "I"),
    *("--set", "corpus_options.first=8000"),
    *("--set", "training.batch_size=2", "--set", "training.window=8", "--set", "training.seed=11"),
    *("--set", 'generation.decoders=["repetition-penalty=1.2","temperature=0.9","top-k=20"]'),
    *(word for setting in SMALL for word in ("--set", setting)),
)
CANCELLED = (
    *("--recipe", "classic", "--cell", "rnn", "--corpus", "poems", "--prefix", "雨"),
    *("--epochs", "60", "--set", "training.learning_rate=1.0"),
    *("--set", "corpus_options.first=1000"),
    *("--set", "training.batch_size=2", "--set", "training.window=8"),
    *(word for setting in SMALL for word in ("--set", setting)),
    *("--set", "model.embedding_size=0", "--set", "training.evaluate_every=1"),
)
WAITING = (
    *("--cell", "gru", "--corpus", "poems", "--epochs", "2", "--prefix", "雨"),
    *("--set", "training.batch_size=2", "--set", "training.window=8"),
    *(word for setting in SMALL for word in ("--set", setting)),
)
WRITE = {
    "lstm": ("--prefix", "分开", "--seed", "7"),
    "gru": ("--prefix", "The ", "--seed", "7"),
    "rnn": ("--prefix", "雨", "--seed", "7"),
}


class Installation:
    """A home folder, and the commands that are given in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        kept = {k: v for k, v in os.environ.items() if not k.startswith("VERSEMILL_")}
        own = {"VERSEMILL_HOME": str(home), "VERSEMILL_USER": "ann"}
        # One thread: the least that may differ on another machine.
        self._environment = kept | own | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "versemill", *arguments],
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        return self.ended(self.start(*arguments), codes)

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    @staticmethod
    def ended(process: subprocess.Popen[str], codes: tuple[int, ...]) -> str:
        out, _ = process.communicate(timeout=120)
        if process.returncode not in codes:
            raise SystemExit(f"{process.args} ended with {process.returncode}:\n{out}")
        return out

    def stopped(self, name: str, arguments: tuple[str, ...], how: str) -> None:
        """Runs a new job, and stops it after its second epoch."""
        process = self.start("run", "--name", name, *arguments)
        assert process.stdout is not None
        while not (line := process.stdout.readline()).startswith("epoch 2/"):
            if not line:
                raise SystemExit(f"{name} ended before its second epoch")
        if how == "cancel":
            self.run("cancel", name)
            self.ended(process, (1,))
        else:
            process.send_signal(signal.SIGINT)
            self.ended(process, (130,))

    def export(self, job: str, at: str, file: Path) -> Path:
        self.run("checkpoints", "export", job, str(file), "--at", at)
        return file

    def about(self, job: str) -> dict[str, Any]:
        """What the commands tell of a job."""
        checkpoints = self.json("checkpoints", "list", job)
        return {
            "show": self.json("show", job),
            "curve": self.json("curve", job),
            "lyrics": self.json("lyrics", job) if checkpoints else [],
            "checkpoints": checkpoints,
            "sha256": {at: self._sha256(job, at) for at in _kinds(checkpoints)},
            "evaluated": self.json("evaluate", job) if checkpoints else None,
        }

    def _sha256(self, job: str, at: str) -> str:
        file = self.export(job, at, self.home / "exported.safetensors")
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        file.unlink()
        return digest

    def ending(self, job: str) -> dict[str, Any]:
        """What a job has come to, whichever way it went there."""
        return {
            "curve": self.json("curve", job),
            "lyrics": self.json("lyrics", job),
            "result": self.json("show", job)["result"],
            "tensors": {at: self._tensors(job, at) for at in ("best", "last")},
        }

    def _tensors(self, job: str, at: str) -> dict[str, str]:
        from safetensors.numpy import load_file

        file = self.export(job, at, self.home / "exported.safetensors")
        found = {name: tensor_digest(tensor) for name, tensor in load_file(file).items()}
        file.unlink()
        return found


def _kinds(checkpoints: list[dict[str, Any]]) -> list[str]:
    """Which of `best` and `last` a job has."""
    has = {kind for kept in checkpoints for kind in kept["kinds"]}
    return [at for at in ("best", "last") if at in has]


def tensor_digest(tensor: Any) -> str:
    """SHA-256 of a NumPy array's type, shape and bytes."""
    message = f"{tensor.dtype} {tensor.shape}".encode()
    return hashlib.sha256(message + tensor.tobytes()).hexdigest()


def this_machine() -> dict[str, str]:
    """The part of the kernel plan that cannot be chosen, and the processor.

    The processor is told beside the plan because libraries choose kernels by its maker and model
    as well, so that equal plans on two processors need not give equal numbers.
    """
    import torch

    return {
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "hardware": torch.backends.cpu.get_cpu_capability(),
        "torch": str(torch.__version__),
        "processor": _processor(),
    }


def _processor() -> str:
    """Maker, family and model."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return f"{platform.machine()} {platform.processor()}"
    message = dict(line.partition(":")[::2] for line in reversed(lines) if ":" in line)
    named = {key.strip(): value.strip() for key, value in message.items()}
    wanted = ("vendor_id", "cpu family", "model", "model name")
    return ", ".join(f"{name} {named[name]}" for name in wanted if name in named)


def songs() -> str:
    """A small text with boundaries between songs, in two scripts."""
    verbs = ("落在", "穿过", "照着", "吹过", "等着", "记得")
    places = ("窗台", "旧街", "码头", "山坡", "屋顶", "河岸", "站台")
    made = []
    for song in range(14):
        lines = [
            f"雨{verbs[(song + line) % 6]}{places[(song * 3 + line) % 7]}，the rain is {line}"
            for line in range(6)
        ]
        made.append("\n".join(lines))
    return "\n---\n".join(made) + "\n"


def position(file: Path) -> tuple[int, int]:
    """Epochs that a checkpoint has reported, and steps done since."""
    data = file.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    meta = json.loads(header["__metadata__"]["versemill"].partition(" ")[2])
    return meta["epoch"], meta["position"]


def pause_within_an_epoch(here: Installation) -> None:
    while True:
        here.stopped("paused", PAUSED, "pause")
        file = here.export("paused", "last", here.home / "position.safetensors")
        epoch, steps = position(file)
        file.unlink()
        if 2 <= epoch < PAUSED_EPOCHS - 1 and steps > 0:
            return
        here.run("rm", "paused", "--yes")


def make(folder: Path, commit: str, scratch: Path) -> None:
    here, undisturbed = Installation(scratch / "home"), Installation(scratch / "undisturbed")
    (scratch / "poems.txt").write_text(songs(), encoding="utf-8")
    here.run("corpora", "add", "poems", str(scratch / "poems.txt"), "--song-separator", "---")
    here.run("run", "--name", "finished", *FINISHED)
    pause_within_an_epoch(here)
    here.stopped("cancelled", CANCELLED, "cancel")
    here.run("submit", "--name", "waiting", *WAITING)
    undisturbed.run("run", "--name", "paused", *PAUSED)

    jobs = ("finished", "paused", "cancelled", "waiting")
    exported = {
        "lstm": ("finished", "best"),
        "gru": ("paused", "last"),
        "rnn": ("cancelled", "last"),
    }
    folder.mkdir(parents=True)
    recorded = {
        "made": {"commit": commit, "version": here.run("--version").split()[-1]},
        "machine": this_machine(),
        "schema": here.json("db", "status")["revision"],
        "jobs": {job: here.about(job) for job in jobs},
        "corpora": [c for c in here.json("corpora", "list") if c["name"] == "poems"],
        "poems": here.json("corpora", "show", "poems"),
        "generated": here.json("generate", "finished", *WRITE["lstm"]),
        "undisturbed": undisturbed.ending("paused"),
        "files": {},
    }
    for cell, (job, at) in exported.items():
        file = here.export(job, at, folder / f"{cell}.safetensors")
        write = (*WRITE[cell], "--length", "60")
        recorded["files"][cell] = {
            "written": here.json("generate", str(file), *write),
            "greedy": here.json("generate", str(file), *write, "--decoder", "greedy"),
        }
    (folder / "recorded.json").write_text(
        json.dumps(recorded, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    keep_database(here.home / "versemill.db", folder / "versemill.db.gz")


def keep_database(database: Path, target: Path) -> None:
    compact = database.with_suffix(".compact")
    connection = sqlite3.connect(database)
    connection.execute("VACUUM INTO ?", (str(compact),))
    connection.close()
    with compact.open("rb") as file, gzip.GzipFile(target, "wb", mtime=0) as kept:
        shutil.copyfileobj(file, kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to; must not exist")
    parser.add_argument("--commit", required=True, help="the commit whose code this is")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="versemill-") as scratch:
        make(given.folder, given.commit, Path(scratch))


if __name__ == "__main__":
    main()
