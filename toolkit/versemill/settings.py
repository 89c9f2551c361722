"""Settings of an installation: where its data, database and broker are.

All come from the environment, so that a command, a worker and a trainer agree without a file.
"""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass
from pathlib import Path

from versemill.errors import ConfigError
from versemill.normalisation import prepared_name

HOME = "VERSEMILL_HOME"
DATABASE_URL = "VERSEMILL_DATABASE_URL"
BROKER_URL = "VERSEMILL_BROKER_URL"
USER = "VERSEMILL_USER"
CORPUS_LIMIT = "VERSEMILL_CORPUS_LIMIT_MB"
CHECKPOINT_SECONDS = "VERSEMILL_CHECKPOINT_SECONDS"
CHECKPOINT_LIMIT = "VERSEMILL_CHECKPOINT_LIMIT_GB"
PLUGINS = "VERSEMILL_PLUGINS"
TRACKING = "VERSEMILL_TRACKING"
HARMLESS = (HOME, USER, CORPUS_LIMIT, CHECKPOINT_SECONDS, CHECKPOINT_LIMIT, PLUGINS, TRACKING)
"""Versemill's variables that plugins in a trainer may see; they see no others of these."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings that the environment gives.

    Attributes:
        home: folder for the SQLite database, corpora files and the workers' spool.
        database_url: SQLAlchemy URL; SQLite under `home` when nothing is configured.
        broker_url: Celery broker URL; the in-process `memory://` when nothing is configured.
        user: name under which jobs are submitted.
        corpus_limit: largest corpus accepted, in bytes.
        checkpoint_seconds: time between checkpoints; a crash loses at most the work of this time.
        checkpoint_limit: most bytes that the checkpoints of all jobs may take together; None
            for no limit.
        plugins: folder whose modules are plugins; None for none.
        tracking: folder in which trackers have a folder for each job.
    """

    home: Path
    database_url: str
    broker_url: str
    user: str
    corpus_limit: int
    checkpoint_seconds: int
    checkpoint_limit: int | None
    plugins: Path | None
    tracking: Path

    @property
    def embedded(self) -> bool:
        """Whether no broker is configured, so that workers find jobs by polling only."""
        return self.broker_url.startswith("memory:")

    @classmethod
    def from_environment(cls) -> Settings:
        """Reads the `VERSEMILL_*` variables; raises `ConfigError` for a value that is no number."""
        home = _variable(HOME)
        if not home:
            import platformdirs  # only without VERSEMILL_HOME, and never at import

            home = platformdirs.user_data_dir("versemill", appauthor=False)
        folder = Path(home).expanduser().absolute()
        return cls(
            home=folder,
            database_url=_variable(DATABASE_URL) or f"sqlite:///{folder / 'versemill.db'}",
            broker_url=_variable(BROKER_URL) or "memory://localhost",
            user=prepared_name(os.environ.get(USER) or _user_name(), USER),
            corpus_limit=_number(CORPUS_LIMIT, 64, "megabytes") * 1024 * 1024,
            checkpoint_seconds=_number(CHECKPOINT_SECONDS, 60, "seconds"),
            checkpoint_limit=(
                _number(CHECKPOINT_LIMIT, 1, "gigabytes") * 10**9
                if _variable(CHECKPOINT_LIMIT)
                else None
            ),
            plugins=plugins_folder(),
            tracking=_folder(TRACKING) or folder / "tracking",
        )

    def to_environment(self) -> dict[str, str]:
        """Inverse of `from_environment`: what a process needs to have these settings too."""
        return {
            HOME: str(self.home),
            DATABASE_URL: self.database_url,
            BROKER_URL: self.broker_url,
            USER: self.user,
            CORPUS_LIMIT: str(self.corpus_limit // 1024**2),
            CHECKPOINT_SECONDS: str(self.checkpoint_seconds),
            CHECKPOINT_LIMIT: str((self.checkpoint_limit or 0) // 10**9 or ""),
            PLUGINS: str(self.plugins or ""),
            TRACKING: str(self.tracking),
        }


def plugins_folder() -> Path | None:
    """The folder that `VERSEMILL_PLUGINS` names; it may not exist."""
    return _folder(PLUGINS)


def _variable(variable: str) -> str | None:
    """The unchanged value of a variable, since paths and passwords must keep their characters.

    Raises:
        ConfigError: it is not valid UTF-8, or holds control characters.
    """
    value = os.environ.get(variable)
    try:
        prepared_name(value or "", variable)
    except ConfigError:  # without the value: it may hold a password
        raise ConfigError(variable, "…", "one line of UTF-8, without control characters") from None
    return value


def _folder(variable: str) -> Path | None:
    folder = _variable(variable)
    return Path(folder).expanduser().absolute() if folder else None


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        return f"uid-{os.getuid()}"


def _number(variable: str, default: int, unit: str) -> int:
    value = _variable(variable) or str(default)
    if not value.isascii() or not value.isdigit() or int(value) == 0:
        raise ConfigError(variable, value, f"a whole number of {unit}, at least 1")
    return int(value)


def bound_spinning() -> None:
    """Limits how long OpenMP's threads spin; call it before torch is imported.

    Threads that wait by spinning take the processors from each other as soon as another process
    computes on this machine: measured, 20 times slower beside one busy process.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")


def physical_memory() -> int | None:
    """Bytes of memory of this machine; None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None
