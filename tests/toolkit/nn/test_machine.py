from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from versemill.config.stored_options import ABSENT
from versemill.errors import CheckpointError, PlanMismatchError
from versemill.nn.machine import KernelPlan

HERE = KernelPlan.current(threads=2)


def test_the_plan_says_how_this_machine_computes() -> None:
    assert HERE.device == "cpu"
    assert HERE.torch_version == torch.__version__
    assert HERE.hardware == torch.backends.cpu.get_cpu_capability()
    assert (HERE.threads, HERE.dtype) == (2, "float32")


def test_a_plan_survives_json() -> None:
    assert KernelPlan.from_json(HERE.to_json()) == HERE


@pytest.mark.parametrize(
    ("dtype", "expected"), [("float32", torch.float32), ("float64", torch.float64)]
)
def test_the_dtype_is_torchs(dtype: str, expected: torch.dtype) -> None:
    assert KernelPlan.current(dtype=dtype).torch_dtype == expected


@pytest.mark.parametrize("stored", [{}, {"device": "cpu"}, {**HERE.to_json(), "extra": 1}])
def test_a_malformed_plan_is_refused(stored: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="kernel plan"):
        KernelPlan.from_json(stored)


def test_a_field_added_since_means_what_was_done_before(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = HERE.to_json()
    del stored["dtype"]
    assert KernelPlan.from_json(stored).dtype == "float32"
    monkeypatch.setitem(ABSENT, "plan.dtype", "float64")
    assert KernelPlan.from_json(stored).dtype == "float64"


def test_what_can_be_chosen_is_taken_over() -> None:
    stored = replace(HERE, threads=7, dtype="float64")
    assert HERE.resuming(stored, inexact=False) == stored


@pytest.mark.parametrize(
    ("field", "value"),
    [("device", "cuda"), ("hardware", "ABACUS"), ("torch_version", "0.4.1")],
)
def test_what_cannot_be_chosen_must_be_equal(field: str, value: str) -> None:
    stored = replace(HERE, **{field: value})
    with pytest.raises(PlanMismatchError, match=f"{field} '{value}' → "):
        HERE.resuming(stored, inexact=False)


def test_small_differences_can_be_allowed() -> None:
    stored = replace(HERE, hardware="ABACUS", threads=7)
    assert HERE.resuming(stored, inexact=True) == replace(HERE, threads=7)


def test_applying_a_plan_sets_the_threads() -> None:
    before = torch.get_num_threads()
    try:
        replace(HERE, threads=before + 1).apply()
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
