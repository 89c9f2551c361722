"""Who asks for something."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Principal:
    """The person on whose behalf a use case runs.

    What they may do is looked up where it is needed (`service.rights`), and not said here.

    Attributes:
        name: under which jobs and events are kept.
        acting_for: the user for whom an admin submits or steers; None for themselves.
    """

    name: str
    acting_for: str | None = None

    @property
    def owner(self) -> str:
        """Who owns what they submit, and whose newest job `@last` is."""
        return self.acting_for or self.name

    @property
    def actor(self) -> str:
        """Who does it, for events."""
        return self.name if self.owner == self.name else f"{self.name} for {self.owner}"
