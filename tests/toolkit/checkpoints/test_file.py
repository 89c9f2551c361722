from __future__ import annotations

import random
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file

from versemill.checkpoints.file import Checkpoint, read, write
from versemill.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

META = {"step": 7, "epoch": 2, "config": {"prefixes": ["分开"]}, "best_nats": None, "rate": 0.1}


def checkpoint() -> Checkpoint:
    torch.manual_seed(1)
    return Checkpoint(
        {
            "model.weight": torch.randn(5, 4),
            "model.bias": torch.tensor([float("inf"), -0.0, 1e-40]),
            "optimizer.0.step": torch.tensor(3.0),
            "losses": torch.empty(0, dtype=torch.float64),
            "best.weight": torch.randn(4, 5, dtype=torch.float64).t(),
            "counts": torch.arange(3),
        },
        META,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.safetensors"


def test_a_checkpoint_comes_back_bit_for_bit(path: Path) -> None:
    write(checkpoint(), path)
    back = read(path)
    assert back.meta == {"format": 1, **META}
    assert back.tensors.keys() == checkpoint().tensors.keys()
    for name, tensor in checkpoint().tensors.items():
        assert back.tensors[name].dtype == tensor.dtype, name
        assert back.tensors[name].shape == tensor.shape, name
        assert back.tensors[name].numpy().tobytes() == tensor.contiguous().numpy().tobytes(), name


def test_equal_checkpoints_are_equal_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(checkpoint(), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_part_takes_one_prefix() -> None:
    assert sorted(checkpoint().part("model")) == ["bias", "weight"]
    assert checkpoint().part("mode") == {}


def test_writing_leaves_one_file(path: Path) -> None:
    write(checkpoint(), path)
    write(checkpoint(), path)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "bad",
    [
        Checkpoint({"x": torch.ones(1)}, {"step": object()}),
        Checkpoint(dict.fromkeys(("x", "y"), torch.ones(2)), {}),  # refused: shared memory
    ],
    ids=["metadata", "tensors"],
)
def test_a_failed_write_leaves_what_was_there(path: Path, bad: Checkpoint) -> None:
    write(checkpoint(), path)
    before = path.read_bytes()
    with pytest.raises((TypeError, RuntimeError)):
        write(bad, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_disk_that_fails_leaves_no_partial_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write(checkpoint(), path)
    assert list(path.parent.iterdir()) == []


def test_a_full_disk_is_an_os_error_that_says_so(path: Path) -> None:
    # In a process of its own: the limit on the size of files would hit the test's output too.
    script = (
        "import resource, sys, torch\n"
        "from pathlib import Path\n"
        "from versemill.checkpoints.file import Checkpoint, write\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    write(Checkpoint({'x': torch.zeros(100)}, {'step': 1}), Path(sys.argv[1]))\n"
        "except OSError as error:\n"
        "    sys.exit(error.strerror == 'File too large' and 7)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode == 7
    assert list(path.parent.iterdir()) == []


def test_a_missing_file_is_a_checkpoint_error(path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"run\.safetensors"):
        read(path)


def test_a_folder_is_a_checkpoint_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{}", b"not a checkpoint at all", b"\xff" * 64])
def test_a_foreign_file_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        read(path)


@pytest.mark.parametrize(
    "metadata", [None, {"versemill": "no json"}, {"versemill": "[1]"}, {"other": "{}"}]
)
def test_a_third_party_safetensors_file_is_refused(
    path: Path, metadata: dict[str, str] | None
) -> None:
    save_file({"x": torch.ones(2)}, path, metadata=metadata)
    with pytest.raises(CheckpointError):
        read(path)


def test_another_format_is_named(path: Path) -> None:
    save_file({"x": torch.ones(2)}, path, metadata={"versemill": '0 {"format": 99}'})
    with pytest.raises(CheckpointError, match="format 99; this version reads 1"):
        read(path)


def test_a_file_cut_anywhere_is_refused(path: Path) -> None:
    write(checkpoint(), path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            read(path)


def test_one_flipped_bit_anywhere_is_noticed(path: Path) -> None:
    write(checkpoint(), path)
    whole = path.read_bytes()
    draw = random.Random(5)
    for place in [*draw.sample(range(len(whole)), 150), len(whole) - 1]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            read(path)
