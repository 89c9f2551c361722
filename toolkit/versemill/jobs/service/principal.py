"""Who asks for something."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Principal:
    """The person on whose behalf a use case runs.

    Attributes:
        name: under which jobs and events are kept.
    """

    name: str
