"""Initial weights of the built-in cells."""

from __future__ import annotations

import torch
from torch import nn


def uniform(*shape: int, hidden_size: int) -> nn.Parameter:
    """Uniform between ±1/√H from torch's global generator, as `torch.nn` initialises its cells."""
    bound = hidden_size**-0.5
    return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))
