"""What `plugins new` writes: the first thing that a plugin's author sees."""

from __future__ import annotations

PROJECT = {
    "pyproject.toml": """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "versemill-$name"
version = "0.1.0"
description = "The $kind $name for Versemill"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["versemill"]

[project.entry-points.versemill]
$name = "$module"

[tool.hatch.build.targets.wheel]
packages = ["src/$module"]
""",
    "tests/test_$module.py": '''\
"""$name keeps what Versemill asks of every $kind."""

from versemill.testing import $Suite


class Test$Class($Suite):
    name = "$name"
''',
    "README.md": """\
# versemill-$name

The $kind `$name` for [Versemill](https://pypi.org/project/versemill/).

    pip install -e .
    pytest                            # or: versemill plugins check $name
    versemill run $use

The $kind is in `src/$module/$kind.py`; `src/$module/__init__.py` offers it to Versemill.
""",
    "src/$module/py.typed": "",
    "src/$module/__init__.py": '''\
"""Offers the $kind `$name` to Versemill; light, since every command imports it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from versemill.plugins import hookimpl

if TYPE_CHECKING:
    from versemill.plugins import Registrar


@hookimpl
def versemill_register_$kinds(register: Registrar) -> None:
    """Registers the $kind; its module is imported at first use."""
    register("$name", "$module.$kind:$target", summary="what it is, in one line")
''',
}

_HEAD = '''\
"""The $kind `$name`."""

from __future__ import annotations

'''

MODULES = {
    "corpus": _HEAD
    + '''\
from versemill.plugins import Options
from versemill.plugins import Text

SONG = """\\
The river keeps the moon awake,
the moon keeps me, for the river's sake.
"""


def read(options: Options) -> Text:
    """The songs; read yours from a packaged file, and keep the order the same each time."""
    return Text(tuple(f"Verse {number}\\n{SONG}" for number in range(1, 41)))
''',
    "sampler": _HEAD
    + '''\
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import torch


class $Class:
    """Windows that do not overlap, in a new random order each epoch."""

    carries_state: ClassVar[bool] = False
    covers_text: ClassVar[bool] = True

    def __init__(self, length: int, batch_size: int, window: int) -> None:
        self.batch_size = batch_size
        self.window = window
        self.windows = max(0, length - 1) // window  # the last target needs one id more
        self.steps = self.windows // batch_size

    def starts(self, generator: torch.Generator) -> torch.Tensor:
        """The start of each window of one epoch, [steps, batch_size]."""
        import torch

        order = torch.randperm(self.windows, generator=generator) * self.window
        return order[: self.steps * self.batch_size].view(-1, self.batch_size)
''',
    "cell": _HEAD
    + '''\
import torch
from torch import Tensor, nn

from versemill.plugins import Cell, Noise, State


class $Class(Cell):
    """h_t = f * h_{t-1} + (1 - f) * tanh(x_t W + h_{t-1} U), with f learned for each unit."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.output_size = hidden_size
        self.input = nn.Linear(input_size, hidden_size)
        self.hidden = nn.Linear(hidden_size, hidden_size, bias=False)
        self.forget = nn.Parameter(torch.zeros(hidden_size))

    def initial_state(self, batch_size: int, *, device: torch.device, dtype: torch.dtype) -> State:
        """Zeros."""
        return (torch.zeros(batch_size, self.output_size, device=device, dtype=dtype),)

    def project(self, x_TBE: Tensor) -> Tensor:
        """What does not depend on the state: computed for all times at once."""
        projected: Tensor = self.input(x_TBE)
        return projected

    def recur(
        self, g_TBG: Tensor, state: State, noise: Noise | None = None
    ) -> tuple[Tensor, State]:
        """The recurrence, one time after the other."""
        (h,) = state
        keep = torch.sigmoid(self.forget)
        outputs = []
        for g in g_TBG:
            h = keep * h + (1 - keep) * torch.tanh(g + self.hidden(h))
            outputs.append(h)
        return torch.stack(outputs), (h,)
''',
}
