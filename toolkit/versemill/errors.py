"""Every error Versemill raises on purpose.

One tree under `VersemillError`; each error also inherits the built-in it naturally is, so that
library users can catch `LookupError` or `ValueError`. A message is one line: what happened, the
value got, what is allowed, what to do next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from versemill.phrases import did_you_mean, listed, shortened, shown

if TYPE_CHECKING:
    from collections.abc import Iterable


class VersemillError(Exception):
    """Something a user can understand and mend; the command line prints it as one line."""


class ConfigError(VersemillError, ValueError):
    """A setting has a value that is not allowed.

    Attributes:
        field: dotted name of the setting, such as `training.epochs`.
        value: the value got.
    """

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(f"{shortened(field)} = {shown(value)} is not allowed: {allowed}")
        self.field = field
        self.value = value


class NotEnoughMemoryError(ConfigError, MemoryError):
    """A job needs more memory than this machine has."""


class TextError(VersemillError, ValueError):
    """A text cannot be taken as it is.

    Attributes:
        reason: why.
        offset: character at which that is.
    """

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"a text is not allowed: {reason}, at character {offset + 1:,}")
        self.reason = reason
        self.offset = offset


class UnknownNameError(VersemillError, LookupError):
    """A name that nothing answers to; the message lists what exists and suggests the nearest.

    Attributes:
        kind: what was looked up, such as `cell` or `job`.
        name: the name got.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], *, hint: str = "") -> None:
        names = sorted(known)
        message = (
            f"no {kind} named {shown(name)}; known: {listed(names) or 'none'}"
            f"{did_you_mean(name, names)}"
        )
        super().__init__(f"{message}; {hint}" if hint else message)
        self.kind = kind
        self.name = name


class PluginError(VersemillError, RuntimeError):
    """A plugin could not be loaded or broke its contract."""


class CorpusError(VersemillError, ValueError):
    """A corpus cannot be read, or cannot be trained on."""


class CheckpointError(VersemillError, ValueError):
    """A checkpoint is damaged, or does not fit what it is loaded into."""


class PlanMismatchError(CheckpointError):
    """A run cannot continue bit for bit: this machine computes in another way."""


class PluginMismatchError(CheckpointError):
    """A run cannot continue: a plugin is another than the checkpoint was made with.

    Attributes:
        changes: each plugin's difference.
        made_with: the checkpoint's records of its plugins.
    """

    def __init__(self, changes: list[str], made_with: list[dict[str, Any]]) -> None:
        super().__init__(
            f"cannot continue bit for bit: {'; '.join(changes)}; install what was there before, "
            "or go on all the same with --accept-change"
        )
        self.changes = changes
        self.made_with = made_with


class DivergedError(VersemillError, ArithmeticError):
    """The loss became NaN or infinite.

    Attributes:
        epoch: epoch (from 1) in which it happened.
        step: optimizer step (from 1) whose loss was not finite.
    """

    def __init__(self, epoch: int, step: int, loss: float) -> None:
        super().__init__(
            f"loss became {loss} in epoch {epoch} at step {step}; "
            "lower training.learning_rate or set training.clip_norm, then retry"
        )
        self.epoch = epoch
        self.step = step


class DatabaseError(VersemillError, RuntimeError):
    """The database cannot be used as it is."""


class RefusedDataError(DatabaseError):
    """The database is there but does not take what it was given; trying again would not help."""


class DamagedDatabaseError(DatabaseError):
    """The database's content is damaged, or is no database at all."""


class SchemaError(DatabaseError):
    """The database has another schema than this version of Versemill."""


class JobStateError(VersemillError, RuntimeError):
    """A job is not in a state that allows what was asked."""


class FencedError(VersemillError, RuntimeError):
    """This attempt no longer holds the job: somebody else may be working on it."""
