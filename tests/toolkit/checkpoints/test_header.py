"""Malformed checkpoints: whatever a file holds, reading it ends in a checkpoint or one line."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import versemill
from damage import mutated, mutations
from versemill.checkpoints.file import Checkpoint, read, write
from versemill.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
META = json.dumps({"format": 1, "step": 7})
SMALL = Checkpoint(
    {"model.weight": torch.arange(12.0).reshape(3, 4), "losses": torch.empty(0)},
    {"step": 7, "words": "分开"},
)


def peak_memory() -> int:
    """The most bytes that this process has had so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < len(str(path)) + 400
    return message


def file_of(path: Path, header: bytes | str | dict[str, Any], data: bytes = b"") -> Path:
    """A file with this header, whatever is in it."""
    if isinstance(header, dict):
        header = json.dumps(header, ensure_ascii=False)
    if isinstance(header, str):
        header = header.encode(errors="surrogatepass")
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    return path


def entry(meta: str = META) -> dict[str, str]:
    """Our entry, its digest right for a file without tensors."""
    return {"versemill": f"{hashlib.sha256(meta.encode()).hexdigest()} {meta}"}


def tensor(dtype: str = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.safetensors"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("small") / "x.safetensors"
    write(SMALL, path)
    return path.read_bytes()


def equal(one: Checkpoint, other: Checkpoint) -> bool:
    return one.meta == {"format": 1, **other.meta} and (
        one.tensors.keys() == other.tensors.keys()
        and all(value.equal(other.tensors[name]) for name, value in one.tensors.items())
    )


# Random damage


@given(mutations)
def test_random_damage_gives_an_equal_checkpoint_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, small: bytes, damage: list[tuple[str, int, bytes]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    data = small
    for kind, number, noise in damage:
        data = mutated(data, kind, number, noise)
    path.write_bytes(data)
    try:
        found = read(path)
    except CheckpointError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert equal(found, SMALL)


names = st.sampled_from(["dtype", "shape", "data_offsets", "__metadata__", "versemill", "a", ""])
dtypes = st.sampled_from(["F32", "I64", "BOOL", "F8_E4M3", "F4", "C64", "x"])
numbers = st.sampled_from([-1, 0, 1, 3, 4, 2**31, 2**62, 2**63, 2**64 - 1, 2**64, 0.5])
scalars = st.none() | st.booleans() | numbers | dtypes | st.text(max_size=4)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4)
)
tensors = st.fixed_dictionaries(
    {
        "dtype": dtypes,
        "shape": st.lists(numbers, max_size=4),
        "data_offsets": st.tuples(numbers, numbers),
    }
)
headers = st.dictionaries(names, tensors | values, max_size=4)


@given(headers, st.booleans(), st.binary(max_size=12))
def test_a_random_header_gives_a_checkpoint_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, header: dict[str, Any], ours: bool, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "random.safetensors"
    file_of(path, header | ({"__metadata__": entry()} if ours else {}), data)
    try:
        read(path)
    except CheckpointError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right


# Headers made to hurt


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"__metadata__": ' + "[" * 100_000, "nested too deeply"),
        ("[]", "something else where an object belongs"),
        ('{"a": 1}', "something else where an object belongs"),
        ('{"__metadata__": {"versemill": 5}}', "not written by Versemill"),
        ('{"__metadata__": {"a": "1", "a": "2"}}', "a name twice"),
        ('{"__metadata__": {}, "__metadata__": {}}', "a name twice"),
        ('{"a": NaN}', "holds NaN"),
        (b'{"a": "\xff"}', "utf-8"),
        ("{" + "1" * 100_000, "no readable checkpoint"),
        ({"__metadata__": entry(), "a": tensor("F4")}, "has type 'F4'"),
        ({"__metadata__": entry(), "a": tensor(shape=[1] * 100_000)}, "more than 8 dimensions"),
        ({"__metadata__": entry(), "a": tensor(shape=[0, 2**63], offsets=(0, 0))}, "no readable"),
        ({"__metadata__": entry(), "a": tensor(shape=[2**40, 2**40])}, "no readable"),
        ({"__metadata__": entry(), "a": tensor(shape=[2])}, "no readable"),
        ({"__metadata__": entry(), "a": tensor(), "b": tensor()}, "no readable"),
        ({"__metadata__": entry(), "a": tensor(offsets=(4, 8))}, "no readable"),
        ({"__metadata__": entry(), "a": tensor(offsets=(0, 400))}, "no readable"),
        ({"__metadata__": entry(), "a": tensor(offsets=(4, 0))}, "no readable"),
        ({"__metadata__": entry(), "a": tensor(offsets=())}, "has offsets []"),
        ({"__metadata__": entry(), "a": tensor(offsets=(0, True))}, "has offsets [0, True]"),
        ({"__metadata__": entry("[" * 50_000)}, "nested too deeply"),
        ({"__metadata__": entry('{"format": 1, "step": NaN}')}, "holds NaN"),
        ({"__metadata__": entry('{"format": 1, "format": 1}')}, "a name twice"),
        ({"__metadata__": entry('{"format": "' + "9" * 5000 + '"}')}, "checkpoint format"),
        ({"__metadata__": entry('{"format": ' + "9" * 5000 + "}")}, "no readable"),
        ({"__metadata__": {"versemill": "0 \udfff"}}, "no readable"),
    ],
)  # fmt: skip
def test_malformed_headers(path: Path, header: Any, reason: str) -> None:
    data = (
        bytes(4) if isinstance(header, dict) and "a" in header else b""
    )  # the size of the one tensor
    assert reason in refusal(file_of(path, header, data))


def test_an_odd_yet_right_file_is_read(path: Path) -> None:
    assert read(file_of(path, {"__metadata__": entry()})).meta == {"format": 1, "step": 7}


@pytest.mark.parametrize("length", [0, 1, 7, 8, 2**31, 2**63, 2**64 - 1])
def test_a_header_longer_than_the_file(path: Path, length: int) -> None:
    path.write_bytes(length.to_bytes(8, "little"))
    assert "no readable checkpoint" in refusal(path)


MEASURED = """
import re, resource, sys, time
from pathlib import Path
import torch, safetensors.torch
from versemill.checkpoints.file import read
from versemill.errors import CheckpointError

def peak():
    if sys.platform == "linux":  # where `ru_maxrss` begins with what the parent had
        return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

before = peak()
began = time.monotonic()
try:
    read(Path(sys.argv[1]))
    print("read")
except CheckpointError as error:
    print(str(error)[:300])
print(peak() - before, time.monotonic() - began)
"""


def cost(path: Path) -> tuple[str, float, float]:
    """What reading says, MiB of memory it took at most, and seconds."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, path], capture_output=True, text=True, check=True
    )
    said, figures = done.stdout.splitlines()
    mebibytes, seconds = map(float, figures.split())
    return said, mebibytes, seconds


def many(part: str, size: int) -> str:
    return ",".join([part] * (size // (len(part) + 1)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: f'{{"a": [{many("[]", 40 * MIB)}]}}', "values, above"),
        (lambda: f'{{"a": [{many("0", 1_900_000)}]}}', "something else"),
        (lambda: {"__metadata__": entry(f"[{many('[]', 15 * MIB)}]")}, "values, above"),
        (lambda: {"__metadata__": entry(f'"{"分" * 6 * MIB}"')}, "above the 16,777,216 allowed"),
        (lambda: '{"__metadata__": {"versemill": "0 ' + r"\u002c" * 4 * MIB + '"}}', "values"),
        (lambda: b" " * 60 * MIB, "above the 50,331,648 allowed"),
        (
            lambda: {f"{n}": tensor(shape=[0], offsets=(0, 0)) for n in range(150_000)},
            "values, above",
        ),
    ],
    ids=["lists", "numbers", "meta", "wide", "escaped", "spaces", "tensors"],
)
def test_a_header_made_to_fill_the_memory(path: Path, make: Any, reason: str) -> None:
    file_of(path, make())
    said, mebibytes, seconds = cost(path)
    print(f"{path.stat().st_size / MIB:.0f} MiB: {mebibytes:.0f} MiB, {seconds:.1f} s")
    assert reason in said
    assert mebibytes < 64 + 6 * path.stat().st_size / MIB
    assert seconds < 60


@pytest.mark.slow
def test_a_sound_file_costs_a_small_multiple_of_its_size(path: Path) -> None:
    write(Checkpoint({"model.weight": torch.zeros(64 * MIB // 4)}, {"step": 1}), path)
    said, mebibytes, _ = cost(path)
    print(f"{mebibytes:.0f} MiB")
    assert said == "read"
    assert mebibytes < 64 * 2.5 + 16


@pytest.mark.slow
def test_a_sparse_file_of_a_terabyte_is_not_read(path: Path) -> None:
    with path.open("wb") as file:
        file.write((100).to_bytes(8, "little"))
        try:
            file.truncate(1 << 40)
        except OSError:
            file.truncate(1 << 32)
    said, mebibytes, _ = cost(path)
    assert "no readable checkpoint" in said
    assert mebibytes < 64


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (4, "its tensors take 4 bytes, but 21,474,836,480 follow its header"),
        (20 << 30, "larger than this machine's memory"),
    ],
)
def test_a_sparse_file_behind_a_sound_header_is_not_read(
    path: Path, end: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("versemill.checkpoints.file.physical_memory", lambda: 16 << 30)
    header = {"__metadata__": entry(), "a": tensor(shape=[end // 4], offsets=(0, end))}
    file_of(path, header)
    os.truncate(path, path.stat().st_size + (20 << 30))
    before = peak_memory()
    assert reason in refusal(path)
    assert peak_memory() - before < 64 * MIB


def test_what_could_not_be_read_back_is_not_written(path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be written"):
        write(Checkpoint({}, {"vocabulary": "x" * 17 * MIB}), path)
    assert not path.exists()


# Paths that are no files


def test_fifos_devices_loops_and_nothing(tmp_path: Path) -> None:
    fifo, loop = tmp_path / "fifo.safetensors", tmp_path / "loop.safetensors"
    device, nothing = tmp_path / "zero.safetensors", tmp_path / "nothing.safetensors"
    os.mkfifo(fifo)
    loop.symlink_to(loop)
    device.symlink_to("/dev/zero")
    nothing.write_bytes(b"")
    for path, reason in (
        (fifo, "not a regular file"),
        (device, "not a regular file"),
        (tmp_path, "not a regular file"),
        (loop, "symbolic links"),
        (nothing, "cut short"),
        (tmp_path / "a\0b", "null byte"),
        (tmp_path / ("a" * 5000), "File name too long"),
    ):
        began = time.monotonic()
        assert reason in refusal(path), path
        assert time.monotonic() - began < 5


def test_a_home_that_nobody_has() -> None:
    with pytest.raises(CheckpointError, match="not a usable path"):
        versemill.load("~nobody-of-that-name/x.safetensors")
