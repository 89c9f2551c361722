"""Learning-rate schedules: the learning rate of each step, by its number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from versemill.config.job import TrainingOptions

_FINAL_SHARE = 0.1  # the cosine ends at a tenth of the peak


def learning_rate(options: TrainingOptions, number: int, total_steps: int) -> float:
    """The learning rate of a step.

    Args:
        options: peak, warm-up and schedule.
        number: of the step, counted from 0.
        total_steps: steps of the whole run, over which the cosine is stretched.
    """
    if number < options.warmup_steps:
        return options.learning_rate * (number + 1) / options.warmup_steps
    if options.schedule == "constant":
        return options.learning_rate
    span = max(1, total_steps - options.warmup_steps)
    progress = min(1.0, (number - options.warmup_steps) / span)
    share = _FINAL_SHARE + (1 - _FINAL_SHARE) * (1 + math.cos(math.pi * progress)) / 2
    return options.learning_rate * share
