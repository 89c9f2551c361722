"""What kind of machine this is: whether numbers recorded on another may be expected here."""

from __future__ import annotations

import platform
from pathlib import Path


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
    told = dict(line.partition(":")[::2] for line in reversed(lines) if ":" in line)
    named = {key.strip(): value.strip() for key, value in told.items()}
    wanted = ("vendor_id", "cpu family", "model", "model name")
    return ", ".join(f"{name} {named[name]}" for name in wanted if name in named)
