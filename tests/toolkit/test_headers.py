"""Malformed checkpoints: whatever a file holds, reading it ends in a checkpoint or one line."""

from __future__ import annotations

import dataclasses
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
from hypothesis import given, settings
from hypothesis import strategies as st
from small_runs import PARTS, REGISTRY, config

import versemill
from versemill import checkpoint
from versemill.checkpoint import Checkpoint, read, write
from versemill.errors import CheckpointError
from versemill.generation import TrainedModel
from versemill.plan import KernelPlan
from versemill.training import Training

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
META = json.dumps({"format": 1, "step": 7})
SMALL = Checkpoint(
    {"model.weight": torch.arange(12.0).reshape(3, 4), "losses": torch.empty(0)},
    {"step": 7, "words": "分开"},
)


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

mutations = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "remove", "swap", "length"]),
        st.integers(0, 2**64 - 1),
        st.binary(min_size=1, max_size=16),
    ),
    min_size=1,
    max_size=4,
)


def mutated(data: bytes, kind: str, number: int, noise: bytes) -> bytes:
    at = number % (len(data) + 1)
    if kind == "flip" and data:
        at %= len(data)
        return data[:at] + bytes([data[at] ^ (1 << noise[0] % 8)]) + data[at + 1 :]
    if kind == "cut":
        return data[:at]
    if kind == "insert":
        return data[:at] + noise + data[at:]
    if kind == "remove":
        return data[:at] + data[at + noise[0] :]
    if kind == "length":
        return number.to_bytes(8, "little") + data[8:]
    return data[at:] + data[:at]


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
        ({"__metadata__": entry("[" * 50_000)}, "nested too deeply"),
        ({"__metadata__": entry('{"format": 1, "step": NaN}')}, "holds NaN"),
        ({"__metadata__": entry('{"format": 1, "format": 1}')}, "a name twice"),
        ({"__metadata__": entry('{"format": "' + "9" * 5000 + '"}')}, "checkpoint format"),
        ({"__metadata__": entry('{"format": ' + "9" * 5000 + "}")}, "no readable"),
        ({"__metadata__": {"versemill": "0 \udfff"}}, "no readable"),
    ],
)  # fmt: skip
def test_malformed_headers(path: Path, header: Any, reason: str) -> None:
    assert reason in refusal(file_of(path, header, bytes(4)))


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
from versemill.checkpoint import read
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


def test_a_sound_file_costs_a_small_multiple_of_its_size(path: Path) -> None:
    write(Checkpoint({"model.weight": torch.zeros(64 * MIB // 4)}, {"step": 1}), path)
    said, mebibytes, _ = cost(path)
    print(f"{mebibytes:.0f} MiB")
    assert said == "read"
    assert mebibytes < 64 * 2.5 + 16


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


# Files that fit themselves, but no model


@pytest.fixture(scope="module")
def trained() -> Checkpoint:
    run = Training(PARTS, config(), REGISTRY, plan=KernelPlan.current(threads=1))
    for _ in run:
        pass
    return run.state()


def changed(found: Checkpoint, **values: Any) -> Checkpoint:
    """With other settings: `section__key=value`, or an entry of the metadata."""
    meta = json.loads(json.dumps(found.meta))
    for name, value in values.items():
        place = meta
        *sections, key = name.split("__")
        for section in sections:
            place = place[section]
        place[key] = value
    return dataclasses.replace(found, meta=meta)


@pytest.mark.parametrize(
    "values",
    [
        {"config__model__hidden_size": 10**9},
        {"config__model__hidden_size": 10**5},
        {"config__model__hidden_size": 2**40},
        {"config__model__layers": 10**9},
        {"config__model__layers": 2},
        {"config__model__embedding_size": 10**9},
        {"config__model__embedding_size": 2**63},
        {"config__cell": "rnn"},
        {"config__cell_options": {"nonsense": 1}},
        {"config__cell_options": 5},
        {"config__model": []},
        {"config": 5},
        {"config": None},
        {"vocabulary": []},
        {"vocabulary": {"characters": "abc" * 10**6, "unknown": True}},
        {"vocabulary": {"characters": "", "unknown": False}},
        {"unseen": "much"},
        {"unseen": 10**400},
        {"step": None},
        {"step": "x"},
    ],
    ids=str,
)
def test_a_configuration_that_does_not_fit_is_refused_before_memory_is_taken(
    trained: Checkpoint, values: dict[str, Any]
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    with pytest.raises(CheckpointError) as caught:
        TrainedModel.from_checkpoint(changed(trained, **values), REGISTRY)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 30
    unit = 1 if sys.platform == "darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 256 * MIB


def test_weights_of_other_shapes_or_names_or_not_finite(trained: Checkpoint) -> None:
    name = "model.output_bias"
    bias = trained.tensors[name]
    for weights in (
        {name: bias[:-1]},
        {name: bias.unsqueeze(0)},
        {name: torch.full_like(bias, torch.nan)},
        {"model.more": bias},
    ):
        odd = Checkpoint({**trained.tensors, **weights}, trained.meta)
        with pytest.raises(CheckpointError):
            TrainedModel.from_checkpoint(odd, REGISTRY)


@pytest.mark.parametrize(
    "values",
    [
        {"step": None},
        {"position": "x"},
        {"position": 10**9},
        {"config": 5},
        {"plan": []},
        {"plan__threads": 10**9},
        {"plan__threads": "many"},
        {"plan__dtype": 5},
    ],
    ids=str,
)
def test_a_run_does_not_go_on_from_what_does_not_fit(
    trained: Checkpoint, values: dict[str, Any]
) -> None:
    with pytest.raises(CheckpointError):
        Training(
            PARTS, config(), REGISTRY, plan=KernelPlan.current(threads=1),
            state=changed(trained, **values),
        )  # fmt: skip


@settings(max_examples=25)
@given(st.data())
def test_a_damaged_model_file_is_loaded_equal_or_refused(
    tmp_path_factory: pytest.TempPathFactory, trained: Checkpoint, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "model.safetensors"
    checkpoint.write(trained, path)
    whole = path.read_bytes()
    path.write_bytes(mutated(whole, *data.draw(mutations)[0]))
    try:
        versemill.load(path)
    except CheckpointError:
        return
    assert path.read_bytes() == whole
