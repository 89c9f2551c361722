"""Where a result came from, and that the job file printed for it gives the same weights."""

from __future__ import annotations

import platform
import tomllib
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file

from command_line import TINY, run_process

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SETTINGS = [part for setting in TINY for part in ("--set", setting)]
LINES = ("小船摇呀摇", "摇到月亮桥", "桥上的人不分开", "分开的人桥下笑", "晨光落在窗台", "雨停了")


def test_a_printed_job_file_gives_the_same_weights_when_its_corpus_is_gone(tmp_path: Path) -> None:
    home, corpus, again = tmp_path / "home", tmp_path / "own.txt", tmp_path / "again.toml"
    corpus.write_text("\n".join(LINES[i * i % 6] for i in range(200)))
    options = ["--set", "training.seed=11", "--set", "training.learning_rate=0.0123"]
    done = run_process(home, "run", "--name", "one", "--corpus", str(corpus), *SETTINGS, *options)
    assert done.code == 0, done.err
    corpus.unlink()

    printed = run_process(home, "show", "one", "--toml")
    assert printed.code == 0, printed.err
    again.write_text(printed.out)
    assert tomllib.loads(printed.out)["training"]["seed"] == 11
    assert f"# computed with python {platform.python_version()}" in printed.out
    done = run_process(home, "run", str(again), "--name", "two")
    assert done.code == 0, done.err

    weights = []
    for name in ("one", "two"):
        file = tmp_path / f"{name}.safetensors"
        done = run_process(home, "checkpoints", "export", name, str(file), "--at", "last")
        assert done.code == 0, done.err
        weights.append(load_file(file))
    one, two = weights
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)

    shown = [run_process(home, "show", name, "--json").json for name in ("one", "two")]
    assert shown[0]["config"] == shown[1]["config"]
    assert shown[0]["content_hash"] == shown[1]["content_hash"]
    assert shown[0]["result"] == shown[1]["result"]
    (attempt,) = shown[1]["attempts"]
    found = attempt["provenance"]
    assert found["versions"]["torch"] == version("torch")
    assert (found["seed"], found["plan"]["device"]) == (11, "cpu")
    assert {plugin["kind"] for plugin in found["plugins"]} == {"cell", "sampler", "tokenizer"}
    assert found["device"]
