"""`verify-resume`: what it proves, what it finds, and when it proves nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

import pytest
import torch

from command_line import TINY_OPTIONS, Completed, environment
from versemill.checkpoints.file import Checkpoint
from versemill.jobs import service
from versemill.phrases import counted
from versemill.plugins.registry import Registry
from versemill.testing.resume_proof.comparison import Record, first_difference, read_record
from versemill.testing.resume_proof.kills import kill_points
from worker_cluster import SLOW_PLUGINS

if TYPE_CHECKING:
    from pathlib import Path

SMALL = (*TINY_OPTIONS, "--set", "training.patience=0", "--set", "training.report_every=30",
         "--set", "training.evaluate_every=10", "--set", "training.schedule=constant")  # fmt: skip
# A lyric an epoch that waits: time for kills between checkpoints, and little of a core.
SLOW = ("--set", "training.report_every=1", "--set", "generation.length=4",
        "--set", 'generation.decoders=["slow"]')  # fmt: skip


def names(kind: str) -> list[str]:
    offered = Registry.discover().all()
    return [r.name for r in offered if r.kind == kind and r.distribution == "versemill"]


def cases() -> list[tuple[str, str, int]]:
    """Every built-in cell at least once, and every built-in sampler; the first loses its worker."""
    cells, samplers = names("cell"), names("sampler")
    count = max(len(cells), len(samplers))
    pairs = islice(zip(cycle(cells), cycle(samplers), strict=False), count)
    return [(cell, sampler, 1 if number else 3) for number, (cell, sampler) in enumerate(pairs)]


def verify(home: Path, *arguments: str, epochs: int, **variables: str) -> Completed:
    """The command in a process of its own, which must leave nothing behind."""
    scratch = home.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "versemill", "verify-resume", *SMALL),
            *("--set", f"training.epochs={epochs}", *arguments),
        ],
        env=environment(home) | {"TMPDIR": str(scratch)} | variables,
        capture_output=True,
        timeout=400,
        check=False,
    )
    assert list(scratch.glob("versemill-*")) == []
    return Completed(done.returncode, done.stdout.decode(), done.stderr.decode())


def verify_long_enough(home: Path, *arguments: str, **variables: str) -> Completed:
    """With so many epochs that there is time for every kill, however fast the machine."""
    places = [str(SLOW_PLUGINS), *filter(None, [variables.get("PYTHONPATH")])]
    variables["PYTHONPATH"] = os.pathsep.join(places)
    for epochs in (60, 240, 960):
        done = verify(home, *SLOW, *arguments, epochs=epochs, **variables)
        if "give it more epochs" not in done.err and "too short" not in done.out:
            return done
    raise AssertionError(done.out + done.err)


@pytest.mark.slow
@pytest.mark.timeout(900)  # each starts workers six times and more
class TestOnRealProcesses:
    @pytest.mark.parametrize(("cell", "sampler", "kills"), cases())
    def test_built_in_cells_and_samplers_resume_exactly(
        self, home: Path, queue: Any, cell: str, sampler: str, kills: int
    ) -> None:
        arguments = ("--cell", cell, "--sampler", sampler, "--kills", str(kills))
        done = verify_long_enough(home, *arguments)
        assert done.code == 0, done.out + done.err
        victims = re.findall(r"^kill \d of \d: at step [\d,]+, the (\w+)", done.out, re.M)
        assert victims == ["trainer", "trainer", "worker"][:kills]
        assert len(re.findall(r"^  resumed from step [1-9][\d,]*; \d", done.out, re.M)) == kills
        assert ("killed by signal 9); started another one" in done.out) == ("worker" in victims)
        *_, verdict = done.out.splitlines()
        assert verdict.startswith(f"the same bit for bit after {counted(kills, 'kill')}: ")
        assert "2 checkpoints (best; last and final)" in verdict
        assert service.jobs(queue.store) == []  # the user's own database

    def test_a_sampler_that_remembers_outside_the_checkpoint_is_found_out(
        self, home: Path, tmp_path: Path
    ) -> None:
        install_plugin(tmp_path / "site")
        done = verify_long_enough(
            home, "--sampler", "forgetful", "--kills", "1", PYTHONPATH=str(tmp_path / "site")
        )
        assert done.code == 1, done.out
        assert done.complaint.startswith("not the same after 1 kill: ")
        assert re.search(r"checkpoint, tensor [\w.]+, element [\d,]+: .+ undisturbed", done.err)

    def test_a_job_of_one_step_proves_nothing(self, home: Path) -> None:
        done = verify(home, "--set", "training.batch_size=64", epochs=1)
        assert done.code == 1
        assert done.out.startswith("undisturbed: ")
        assert " to step 1\n" in done.out
        assert done.complaint.startswith("nothing was proved: the job trains in ")

    def test_a_job_that_diverges_proves_nothing(self, home: Path) -> None:
        wild = ("training.optimizer=sgd", "training.learning_rate=1e30", "training.clip_norm=0")
        done = verify(home, *(part for value in wild for part in ("--set", value)), epochs=1)
        assert done.code == 1
        assert done.complaint.startswith("nothing was proved: undisturbed, the job failed: loss ")


FORGETFUL = """
import torch
from versemill.plugins.hookspecs import hookimpl

class Forgetful:
    carries_state = False
    epochs = 0

    def __init__(self, length, batch_size, window):
        self._shape = (-1, batch_size)
        self._windows = (length - 1) // window // batch_size * batch_size
        self._window = window
        self.steps = self._windows // batch_size

    def starts(self, generator):
        self.epochs += 1  # no checkpoint knows of it
        order = torch.randperm(
            self._windows, generator=torch.Generator().manual_seed(self.epochs)
        )
        return (order * self._window).view(self._shape)

@hookimpl
def versemill_register_samplers(register):
    register("forgetful", "forgetful:Forgetful", summary="counts epochs by itself")
"""


def install_plugin(site: Path) -> None:
    """A distribution of its own, as a third party would install it."""
    about = site / "forgetful-1.0.dist-info"
    about.mkdir(parents=True)
    (site / "forgetful.py").write_text(FORGETFUL)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: forgetful\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[versemill]\nforgetful = forgetful\n")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere.toml"], 1, "job file nowhere.toml cannot be read"),
        (["--kills", "0"], 2, "--kills"),
        (["--kills", "many"], 2, "--kills"),
        (["--cell", "lstmm"], 1, "did you mean 'lstm'"),
        (["--epochs", "+1"], 2, "adds to a job that is there already"),
    ],
)
def test_what_cannot_be_verified_is_one_line(
    command: Any, arguments: list[str], code: int, words: str
) -> None:
    done = command("verify-resume", *arguments)
    assert (done.code, done.out) == (code, "")
    assert words in done.complaint


def test_kill_points_are_spread_over_all_but_the_last_seconds() -> None:
    for _ in range(100):
        points = kill_points(1000, 4, seconds=20)
        for number, point in enumerate(points):
            assert 225 * number <= point < 225 * (number + 1)
        assert all(0 <= point < 750 for point in kill_points(1000, 9, seconds=0.1))


class TestComparison:
    def test_a_record_is_like_itself(self, trained: str, queue: Any) -> None:
        one, other = (read_record(queue.store, 1) for _ in range(2))
        assert first_difference(one, other) is None
        assert sorted(one.checkpoints) == ["best", "last and final"]
        assert len(one.reports) == 4
        assert len(one.lyrics) == 4
        assert one.tensors > 20
        assert one.result["held_out"]

    def test_one_bit_of_any_tensor_counts(self, trained: str, queue: Any) -> None:
        one, other = (read_record(queue.store, 1) for _ in range(2))
        for kind, checkpoint in other.checkpoints.items():
            for name, tensor in checkpoint.tensors.items():
                if not tensor.numel():
                    continue
                last = tensor.reshape(-1).view(torch.uint8)
                last[-tensor.element_size()] ^= 1  # the lowest bit of the last element
                found = first_difference(one, other)
                assert found is not None
                assert found.startswith(f"{kind} checkpoint, tensor {name}, element ")
                assert found.endswith(f"(1 of {tensor.numel():,} elements differ)")
                last[-tensor.element_size()] ^= 1
        assert first_difference(one, other) is None

    @pytest.mark.parametrize("field", ["train_perplexity", "valid_perplexity", "step", "epoch"])
    def test_every_figure_of_the_curve_counts(self, trained: str, queue: Any, field: str) -> None:
        one, other = (read_record(queue.store, 1) for _ in range(2))
        other.reports[2][field] *= 1 + 1e-15
        found = first_difference(one, other)
        assert found is not None
        assert re.match(rf"report 3 \(epoch \S+\), {field}: .+ undisturbed, .+ after", found)

    def test_missing_rows_and_changed_lyrics(self, trained: str, queue: Any) -> None:
        one = read_record(queue.store, 1)
        assert first_difference(one, replace(one, reports=one.reports[:-1])) == (
            "report 4 (epoch 4) is missing after the kills"
        )
        assert first_difference(replace(one, lyrics=[]), one) == (
            "lyric 1 (epoch 2) is missing undisturbed"
        )
        altered = [*one.lyrics[:-1], one.lyrics[-1] | {"text": "另一首"}]
        assert "lyric 4 (epoch 4), text: " in str(
            first_difference(one, replace(one, lyrics=altered))
        )
        assert "result, step: " in str(
            first_difference(one, replace(one, result=one.result | {"step": 0}))
        )

    def test_missing_and_other_checkpoints(self, trained: str, queue: Any) -> None:
        one = read_record(queue.store, 1)
        best = one.checkpoints["best"]
        only_last = {"last and final": one.checkpoints["last and final"]}
        assert first_difference(one, replace(one, checkpoints=only_last)) == (
            "the best checkpoint is missing after the kills"
        )
        for tensors, meta, words in [
            (best.tensors | {"more": torch.ones(1)}, best.meta, "tensor more is missing undist"),
            (best.tensors | {"losses": torch.ones(9)}, best.meta, "tensor losses: torch.float64 "),
            (best.tensors, best.meta | {"position": 5}, "metadata, position: 0 undisturbed, 5 af"),
        ]:
            changed = only_last | {"best": Checkpoint(tensors, meta)}
            found = first_difference(one, replace(one, checkpoints=changed))
            assert words in str(found)

    def test_neither_a_negative_zero_nor_nan_is_overlooked(self) -> None:
        def record(value: float) -> Record:
            weights = Checkpoint({"w": torch.tensor([1.0, value])})
            return Record(checkpoints={"best": weights}, reports=[], lyrics=[], result={})

        nan = float("nan")
        assert first_difference(record(nan), record(nan)) is None
        assert first_difference(record(0.0), record(-0.0)) == (
            "best checkpoint, tensor w, element 1: 0.0 undisturbed, -0.0 after the kills "
            "(1 of 2 elements differ)"
        )
