"""Every error Versemill raises on purpose.

One tree under `VersemillError`; each error also inherits the built-in it naturally is, so that
library users can catch `LookupError` or `ValueError`. A message is one line: what happened, the
value got, what is allowed. It names no command and no option: an interface knows an error by its
`code` and `reason`, and words what to do next (the command line in `cli.terminal.advice`).
docs/errors.md is made from this module and from that table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from versemill.phrases import did_you_mean, listed, shortened, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class VersemillError(Exception):
    """Something a user can understand and mend.

    Attributes:
        code: stable name of the class of error.
        reasons: cases of it that need different things done, and what each means.
        reason: which of them this is; empty if none.
        attributes: its data, JSON values by name; each is an attribute of the error too.
    """

    code: ClassVar[str] = "error"
    reasons: ClassVar[Mapping[str, str]] = {}

    def __init__(self, message: str = "", *, reason: str = "", **attributes: object) -> None:
        super().__init__(message)
        self.reason = reason
        self.attributes = attributes

    def to_json(self) -> dict[str, Any]:
        """Code, reason, message and attributes: what is stored of a job's failure."""
        return {
            "code": self.code,
            "reason": self.reason,
            "message": str(self),
            "attributes": self.attributes,
        }


class ConfigError(VersemillError, ValueError):
    """A setting has a value that is not allowed.

    Attributes:
        field: dotted name of the setting, such as `training.epochs`.
        value: the value got.
    """

    code: ClassVar[str] = "config"

    def __init__(self, field: str, value: object, allowed: str) -> None:
        message = f"{shortened(field)} = {shown(value)} is not allowed: {allowed}"
        super().__init__(message, field=field, value=shown(value))
        self.field = field
        self.value = value


class NotEnoughMemoryError(ConfigError, MemoryError):
    """A job needs more memory than this machine has."""

    code: ClassVar[str] = "not-enough-memory"


class TextError(VersemillError, ValueError):
    """A text cannot be taken as it is.

    Attributes:
        reason: why.
        offset: character at which that is.
    """

    code: ClassVar[str] = "text"

    def __init__(self, reason: str, offset: int) -> None:
        message = f"a text is not allowed: {reason}, at character {offset + 1:,}"
        super().__init__(message, reason=reason, offset=offset)
        self.offset = offset


class UnknownNameError(VersemillError, LookupError):
    """A name that nothing answers to; the message lists what exists and suggests the nearest.

    Attributes:
        kind: what was looked up, such as `cell` or `job`.
        name: the name got.
    """

    code: ClassVar[str] = "unknown-name"
    reasons: ClassVar[Mapping[str, str]] = {
        "job": "no job has this id or name",
        "live worker": "no worker that is alive has this name",
        "subscription": "nobody is told by a subscription of this number",
        "user": "no user of this installation has this name",
        "disabled": "plugins that might have it are disabled",
    }

    def __init__(
        self, kind: str, name: str, known: Iterable[str], *, hint: str = "", reason: str = ""
    ) -> None:
        names = sorted(known)
        message = (
            f"no {kind} named {shown(name)}; known: {listed(names) or 'none'}"
            f"{did_you_mean(name, names)}"
        )
        reason = reason or (kind if kind in self.reasons else "")
        message = f"{message}; {hint}" if hint else message
        super().__init__(message, reason=reason, kind=kind, name=shortened(name))
        self.kind = kind
        self.name = name


class PluginError(VersemillError, RuntimeError):
    """A plugin could not be loaded or broke its contract."""

    code: ClassVar[str] = "plugin"


class CorpusError(VersemillError, ValueError):
    """A corpus cannot be read, or cannot be trained on."""

    code: ClassVar[str] = "corpus"
    reasons: ClassVar[Mapping[str, str]] = {
        "encoding-unsure": "the encoding cannot be told from the bytes",
        "encoding-wrong": "the text does not read in the encoding named",
        "not-utf-8": "it was to be UTF-8 and is not",
        "maybe-utf-16": "it looks like binary data, or UTF-16 without a mark",
        "field-unsure": "several fields of a record may hold its text",
    }


class CheckpointError(VersemillError, ValueError):
    """A checkpoint is damaged, or does not fit what it is loaded into."""

    code: ClassVar[str] = "checkpoint"


class PlanMismatchError(CheckpointError):
    """A run cannot continue bit for bit: this machine computes in another way."""

    code: ClassVar[str] = "plan-mismatch"


class PluginMismatchError(CheckpointError):
    """A run cannot continue: a plugin is another than the checkpoint was made with.

    Attributes:
        changes: each plugin's difference.
    """

    code: ClassVar[str] = "plugin-mismatch"

    def __init__(self, changes: list[str]) -> None:
        message = f"cannot continue bit for bit: {'; '.join(changes)}"
        super().__init__(message, changes=changes)
        self.changes = changes


class DivergedError(VersemillError, ArithmeticError):
    """The loss became NaN or infinite.

    Attributes:
        epoch: epoch (from 1) in which it happened.
        step: optimizer step (from 1) whose loss was not finite.
    """

    code: ClassVar[str] = "diverged"

    def __init__(self, epoch: int, step: int, loss: float) -> None:
        message = (
            f"loss became {loss} in epoch {epoch} at step {step}; it takes a lower "
            "training.learning_rate, or a training.clip_norm"
        )
        super().__init__(message, epoch=epoch, step=step)
        self.epoch = epoch
        self.step = step


class DatabaseError(VersemillError, RuntimeError):
    """The database cannot be used as it is."""

    code: ClassVar[str] = "database"
    reasons: ClassVar[Mapping[str, str]] = {
        "unusable": "it does not answer, or not as expected",
        "commit-unknown": "nobody can tell whether a new job was stored",
        "workers-alive": "its schema is not changed while workers are alive",
        "in-use": "it is not copied while workers are alive",
    }


class RefusedDataError(DatabaseError):
    """The database is there but does not take what it was given; trying again would not help."""

    code: ClassVar[str] = "refused-data"


class DamagedDatabaseError(DatabaseError):
    """The database's content is damaged, or is no database at all."""

    code: ClassVar[str] = "damaged-database"


class SchemaError(DatabaseError):
    """The database has another schema than this version of Versemill."""

    code: ClassVar[str] = "schema"
    reasons: ClassVar[Mapping[str, str]] = {
        "missing": "the database is empty",
        "older": "the schema is of an earlier version",
        "newer": "the schema is of a later version",
        "target": "the database to copy to has not this version's schema",
    }


class JobStateError(VersemillError, RuntimeError):
    """A job is not in a state that allows what was asked."""

    code: ClassVar[str] = "job-state"
    reasons: ClassVar[Mapping[str, str]] = {
        "finished": "it has trained all its epochs",
        "time-limit": "it has ended at its time limit",
        "over": "it has failed or was cancelled",
        "running": "it is being trained",
        "held": "a worker elsewhere is training it",
        "plugins-missing": "plugins that it needs are not here",
        "plugins-changed": "plugins that it needs are here in other versions",
        "other-machine": "this machine computes in another way than the one before",
        "corpus-needed": "jobs that are not over need the corpus",
        "after-failed": "the job after whose success another is to begin has failed",
        "array": "an array is meant where one job is wanted",
        "awaited": "other jobs wait for it",
    }


class ForbiddenError(VersemillError, PermissionError):
    """Somebody asks for what only others may do."""

    code: ClassVar[str] = "forbidden"
    reasons: ClassVar[Mapping[str, str]] = {
        "owner": "it belongs to somebody else, and only admins may do that with it",
        "admin": "only admins may",
        "disabled": "a disabled user can add nothing, nor can others in their name",
        "last-admin": "there would be no admin left",
    }


class LimitError(VersemillError, RuntimeError):
    """A user has as many jobs as they may have.

    Attributes:
        user: whose limit it is.
        limit: how many they may have.
    """

    code: ClassVar[str] = "limit"
    reasons: ClassVar[Mapping[str, str]] = {
        "queued": "of jobs that wait",
        "urgent": "of urgent jobs that wait or run; does not bind admins",
    }


class ResumeProofError(VersemillError, RuntimeError):
    """A killed job did not end as an undisturbed one, or nothing could be proved."""

    code: ClassVar[str] = "resume-proof"


class MissingPackageError(VersemillError, ImportError):
    """Something that is not installed is needed.

    Attributes:
        package: what is missing.
        extra: the extra of Versemill that brings it.
    """

    code: ClassVar[str] = "missing-package"

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed here", package=package, extra=extra)


class FencedError(VersemillError, RuntimeError):
    """This attempt no longer holds the job: somebody else may be working on it."""

    code: ClassVar[str] = "fenced"
