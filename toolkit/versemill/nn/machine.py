"""The kernel plan: everything about a machine that decides the exact numbers of a run."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from versemill.config.stored_options import completed
from versemill.errors import CheckpointError, PlanMismatchError

if TYPE_CHECKING:
    from collections.abc import Mapping

_THREADS = range(1, 1025)


@dataclass(frozen=True, kw_only=True)
class KernelPlan:
    """How a run computes. On CPU, equal plans continue a run bit for bit.

    Attributes:
        device: `cpu` or `cuda`.
        hardware: instruction set of the CPU, or name of the GPU.
        torch_version: version of PyTorch.
        dtype: `float32` or `float64`.
        threads: threads of one operation.
    """

    device: str
    hardware: str
    torch_version: str
    dtype: str = "float32"
    threads: int

    @classmethod
    def current(
        cls, *, device: str = "cpu", threads: int | None = None, dtype: str = "float32"
    ) -> KernelPlan:
        """The plan of this machine; `threads` defaults to what PyTorch would use."""
        return cls(
            device=device,
            hardware=(
                torch.cuda.get_device_name()
                if device == "cuda"
                else torch.backends.cpu.get_cpu_capability()
            ),
            torch_version=str(torch.__version__),
            dtype=dtype,
            threads=threads or torch.get_num_threads(),
        )

    @property
    def machine(self) -> str:
        """The part of the plan that the machine decides, in one line: the kind of machine."""
        return f"{self.device} {self.hardware}, torch {self.torch_version}"

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype as PyTorch names it."""
        return torch.float64 if self.dtype == "float64" else torch.float32

    def resuming(self, stored: KernelPlan, *, inexact: bool) -> KernelPlan:
        """The plan on which a run made with `stored` continues here.

        Threads and dtype are taken from `stored`. Everything else must be equal.

        Raises:
            PlanMismatchError: the machine differs and `inexact` is not set.
        """
        wanted = replace(
            stored, device=self.device, hardware=self.hardware, torch_version=self.torch_version
        )
        if wanted != stored and not inexact:
            was, now = stored.to_json(), wanted.to_json()
            changed = ", ".join(f"{k} {was[k]!r} → {now[k]!r}" for k in was if was[k] != now[k])
            raise PlanMismatchError(
                f"cannot continue bit for bit: {changed}; it can on a machine like the first"
            )
        return wanted

    def apply(self) -> None:
        """Makes this process compute as the plan says. Call it before the first operation."""
        torch.set_num_threads(self.threads)
        if self.device == "cuda":
            # PyTorch's documented settings for reproducibility.
            os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
            torch.use_deterministic_algorithms(mode=True)
            torch.backends.cudnn.benchmark = False
            torch.backends.cuda.matmul.allow_tf32 = False

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> KernelPlan:
        """Inverse of `to_json`; fields added since are as `stored_options.completed` says.

        Raises:
            CheckpointError: it is no kernel plan.
        """
        try:
            plan = cls(**completed(cls, stored, where="plan"))
        except (TypeError, ValueError):
            raise CheckpointError("the checkpoint's kernel plan is malformed") from None
        names = (plan.device, plan.hardware, plan.torch_version, plan.dtype)
        # PyTorch would start any number of threads.
        if not all(isinstance(name, str) for name in names) or plan.threads not in _THREADS:
            raise CheckpointError("the checkpoint's kernel plan is malformed")
        return plan


def machines(device: str) -> list[str]:
    """Every kind of machine (`KernelPlan.machine`) that this computer is, for `cpu` or `cuda`."""
    here = KernelPlan.current()
    if device == "cpu":
        return [here.machine]
    names = {torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())}
    return sorted(replace(here, device="cuda", hardware=name).machine for name in names)
