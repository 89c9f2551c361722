"""`doctor`: looks at everything an installation needs, and says how to mend what is wrong."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from versemill.cli.terminal.output import say
from versemill.errors import DamagedDatabaseError, VersemillError
from versemill.phrases import counted

if TYPE_CHECKING:
    from pathlib import Path

    from versemill.settings import Settings

_LEAST_FREE = 1024**3
_BROKER_SECONDS = 1.0
_GPU_SECONDS = 20


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes:
        check: what was looked at.
        ok: whether it is as it should be.
        detail: what was found.
        mend: what to do about it; empty when it is well. With `ok` it is only a suggestion.
    """

    check: str
    ok: bool
    detail: str
    mend: str = ""


Check = Callable[["Settings"], list[Finding]]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Say what is wrong, and how to mend it.

    Looks at versions, configuration, database, broker, devices, plugins, fonts and disk, and
    changes nothing. Each plugin but the built-ins is tried in a process of its own, for 10 seconds
    at most. Exit code 1 if anything is wrong.

    With --json the output is fit for a public issue: your home folder is shown as ~, your name as
    USER, and servers as HOST.

    \b
    Example:  versemill doctor
    """
    from versemill.cli.personal_names import PersonalNames
    from versemill.cli.terminal.tables import print_json

    findings = examine()
    if as_json:
        hidden = PersonalNames()
        print_json([hidden.hide_in(asdict(finding)) for finding in findings])
    else:
        for finding in findings:
            say(_line(finding))
    ctx.exit(0 if all(finding.ok for finding in findings) else 1)


def examine() -> list[Finding]:
    """Every check, whatever the others find."""
    from versemill.settings import Settings

    findings = [_versions()]
    try:
        settings = Settings.from_environment()
    except VersemillError as error:
        wrong = Finding(check="configuration", ok=False, detail=str(error), mend="correct it")
        return [*findings, wrong]
    where = f"data in {settings.home}, jobs of {settings.user}"
    findings.append(Finding(check="configuration", ok=True, detail=where))
    for check in CHECKS:
        findings += check(settings)
    return findings


def _versions() -> Finding:
    import platform
    from importlib.metadata import version

    made_of = [f"{name} {version(name)}" for name in ("versemill", "torch", "celery", "sqlalchemy")]
    machine = f"{platform.system()} {platform.release()} {platform.machine()}"
    detail = ", ".join([*made_of, f"Python {platform.python_version()}", machine])
    return Finding(check="versions", ok=True, detail=detail)


def _line(finding: Finding) -> str:
    verdict = "wrong" if not finding.ok else "note " if finding.mend else "ok   "
    mend = f"; {finding.mend}" if finding.mend else ""
    return f"{verdict}  {finding.check}: {finding.detail}{mend}"


def check_schema(settings: Settings) -> list[Finding]:
    """The database's schema is ours, or there is none yet and it can be made."""
    from versemill.jobs.storage import database

    try:
        status = database.schema_status(settings.database_url)
        path = _sqlite_path(settings)
        if status.verdict != "missing" or path is None:
            status.require_current()
    except DamagedDatabaseError as error:
        detail = str(error).partition("; ")[0]
        mend = "see below, at database"
        return [Finding(check="schema", ok=False, detail=detail, mend=mend)]
    except VersemillError as error:
        return [_from_error("schema", error)]
    revision = status.revision or "none yet, made at first use"
    return [Finding(check="schema", ok=True, detail=f"{revision}, at {status.database}")]


def check_database(settings: Settings) -> list[Finding]:
    """The database is whole, somebody can write to it, and its file is on a local disk."""
    from versemill.jobs.storage.database import schema_status
    from versemill.jobs.storage.filesystems import refuse_network_filesystem
    from versemill.jobs.storage.integrity import require_whole

    try:
        path = _sqlite_path(settings)
        if path is not None:
            refuse_network_filesystem(path)
            if not path.exists():
                return [_new_database(path)]
        ours = schema_status(settings.database_url).verdict == "current"
        require_whole(settings.database_url, tables=ours)
    except DamagedDatabaseError as error:
        return [_damaged(error, settings)]
    except VersemillError as error:
        return [_from_error("database", error)]
    return [Finding(check="database", ok=True, detail="whole and writable")]


def _damaged(error: VersemillError, settings: Settings) -> Finding:
    """Says how to put a backup in the place of a damaged database."""
    detail = str(error).partition("; ")[0]
    path = _sqlite_path(settings)
    if path is None:
        mend = "restore a backup of the server"
        return Finding(check="database", ok=False, detail=detail, mend=mend)
    path = path.absolute()
    files = [path.with_name(path.name + end) for end in ("", "-wal", "-shm", "-journal")]
    there = " ".join(shlex.quote(str(file)) for file in files if file.exists())
    free = (path.with_name(f"{path.stem}-damaged{end}") for end in ("", *range(2, 10_000)))
    away = shlex.quote(str(next(folder for folder in free if not folder.exists())))
    target = shlex.quote(f"sqlite:///{path}")
    mend = (
        f"stop the workers, move it away (`mkdir {away} && mv {there} {away}`) and restore a "
        f"backup (`VERSEMILL_DATABASE_URL=sqlite:////path/to/backup.db versemill db copy-to "
        f"{target}`); without one, the next command makes an empty database"
    )
    return Finding(check="database", ok=False, detail=detail, mend=mend)


def _new_database(path: Path) -> Finding:
    folder = _existing(path.parent)
    if os.access(folder, os.W_OK | os.X_OK):
        return Finding(check="database", ok=True, detail=f"{path} can be made")
    mend = "set VERSEMILL_HOME to a folder you can write"
    return Finding(check="database", ok=False, detail=f"{folder} is not writable", mend=mend)


def check_broker(settings: Settings) -> list[Finding]:
    """The broker answers within a second."""
    if settings.embedded:
        return [Finding(check="broker", ok=True, detail="none needed: workers poll the database")]
    from versemill.redaction import ENCODE, is_ambiguous, shown

    where = shown(settings.broker_url)
    if is_ambiguous(settings.broker_url):
        detail = f"VERSEMILL_BROKER_URL ({where}) can be read in two ways"
        return [Finding(check="broker", ok=False, detail=detail, mend=ENCODE)]
    began = time.monotonic()
    try:
        _ask_broker(settings.broker_url)
    except Exception as error:  # noqa: BLE001 - clients raise whatever they like
        mend = "start it or correct VERSEMILL_BROKER_URL; jobs are safe meanwhile"
        detail = f"{where} does not answer ({type(error).__name__})"
        return [Finding(check="broker", ok=False, detail=detail, mend=mend)]
    took = (time.monotonic() - began) * 1000
    return [Finding(check="broker", ok=True, detail=f"{where} answered in {took:.0f} ms")]


def _ask_broker(url: str) -> None:
    if url.startswith(("redis:", "rediss:")):
        import redis

        client = redis.Redis.from_url(
            url, socket_connect_timeout=_BROKER_SECONDS, socket_timeout=_BROKER_SECONDS
        )
        try:
            client.ping()
        finally:
            client.close()
        return
    import socket
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    address = (parts.hostname or "localhost", parts.port or 5672)
    socket.create_connection(address, _BROKER_SECONDS).close()


def check_devices(_settings: Settings) -> list[Finding]:
    """What jobs are trained on. A machine without a GPU is well."""
    cores = os.cpu_count() or 1
    command = shutil.which("nvidia-smi")
    if command is None:
        return [
            Finding(
                check="devices", ok=True, detail=f"CPU with {counted(cores, 'core')}, no NVIDIA GPU"
            )
        ]
    try:
        listing = subprocess.run(  # noqa: S603 - a fixed command, found on PATH
            [command, "--list-gpus"],
            capture_output=True,
            text=True,
            timeout=_GPU_SECONDS,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        mend = "mend the NVIDIA driver, or start workers with --devices cpu"
        detail = f"nvidia-smi fails ({type(error).__name__})"
        return [Finding(check="devices", ok=False, detail=detail, mend=mend)]
    gpus = [line.split(" (")[0].strip() for line in listing.splitlines() if line.strip()]
    found = "; ".join(gpus) or "no NVIDIA GPU"
    return [Finding(check="devices", ok=True, detail=f"CPU with {counted(cores, 'core')}; {found}")]


def check_plugins(_settings: Settings) -> list[Finding]:
    """Every plugin can be taken in, comes to an end, and changes nothing that belongs to all."""
    from versemill.plugins.discovery import find_sources
    from versemill.plugins.registry import Registry

    # What might hang or end the process is not imported into this one before it was tried.
    third_party = {s.distribution: s.version for s in find_sources() if not s.built_in}
    faults = _probed(list(third_party))
    faulty = {name for name, _ in faults}
    registry = Registry.discover(without=faulty)
    found = [f"{name} {third_party[name]}: {fault}" for name, fault in faults]
    found += [
        f"{p.distribution} {p.version}: it is disabled: {p.reason}" for p in registry.disabled
    ]
    mend = "mend, upgrade or remove it"
    findings = [Finding(check="plugins", ok=False, detail=line, mend=mend) for line in found]
    offered = registry.all()
    if not offered:
        mend = "install versemill itself again"
        findings.append(Finding(check="plugins", ok=False, detail="none found", mend=mend))
    elif not findings:
        makers = {registration.distribution for registration in offered}
        detail = f"{len(offered)} offered by {', '.join(sorted(makers))}"
        findings.append(Finding(check="plugins", ok=True, detail=detail))
    return findings


def _probed(distributions: list[str]) -> list[tuple[str, str]]:
    """What is wrong with each, tried in processes of their own, several at once."""
    if not distributions:
        return []
    from concurrent.futures import ThreadPoolExecutor

    from versemill.plugins.probing import probe

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        faults = list(pool.map(probe, distributions))
    return [(name, fault) for name, of in zip(distributions, faults, strict=True) for fault in of]


def check_font(_settings: Settings) -> list[Finding]:
    """`curve --png` can be drawn, and can write Chinese names."""
    import importlib.util

    from versemill.cli.terminal.curve_picture import INSTALL_FONT, find_font, installed_fonts

    if importlib.util.find_spec("matplotlib") is None:
        mend = "run `pip install 'versemill[plot]'`"
        return [
            Finding(check="pictures", ok=True, detail="no matplotlib for `curve --png`", mend=mend)
        ]
    font = find_font("分开", installed_fonts())
    if font is None:
        detail = "no font with Chinese glyphs, so `curve --png` leaves Chinese names out"
        return [Finding(check="pictures", ok=True, detail=detail, mend=INSTALL_FONT)]
    return [Finding(check="pictures", ok=True, detail=f"Chinese names in {font}")]


def check_disk(settings: Settings) -> list[Finding]:
    """There is room for checkpoints."""
    folder = _existing(settings.home)
    free = shutil.disk_usage(folder).free
    detail = f"{free / 2**30:,.1f} GiB free at {folder}"
    if free < _LEAST_FREE:
        mend = "make room, or set VERSEMILL_HOME to a larger disk"
        return [Finding(check="disk", ok=False, detail=detail, mend=mend)]
    return [Finding(check="disk", ok=True, detail=detail)]


def check_privacy(settings: Settings) -> list[Finding]:
    """Nobody else can read or change an installation's files, or lock its database."""
    from versemill.jobs.service.private_files import closing_command, open_to_others

    found = open_to_others(settings, _sqlite_path_or_none(settings))
    if not found:
        return [Finding(check="privacy", ok=True, detail="all files are yours alone")]
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    detail = f"others may read or change {found[0]}{more}"
    mend = f"if they are not to, run: {closing_command(found, settings.home)}"
    return [Finding(check="privacy", ok=True, detail=detail, mend=mend)]


def check_imports(_settings: Settings) -> list[Finding]:
    """No module is taken from the folder in which a command happens to be started."""
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if entries == [""] or all(map(os.path.isabs, entries)):
        return []
    detail = "PYTHONPATH has an empty or relative entry: modules of the present folder are imported"
    return [Finding(check="imports", ok=True, detail=detail, mend="write whole paths")]


CHECKS: tuple[Check, ...] = (
    check_schema,
    check_database,
    check_broker,
    check_devices,
    check_plugins,
    check_font,
    check_disk,
    check_privacy,
    check_imports,
)


def _from_error(check: str, error: VersemillError) -> Finding:
    """What is wrong, and what the command line advises, or the end of the message."""
    from versemill.cli.terminal.advice import advice_for

    if (error.code, error.reason) == ("database", "unusable"):
        mend = "see that it is running, and that VERSEMILL_DATABASE_URL is right"
        return Finding(check=check, ok=False, detail=str(error), mend=mend)
    mend = advice_for(error.code, error.reason, error.attributes)
    if mend:
        return Finding(check=check, ok=False, detail=str(error), mend=mend)
    detail, _, mend = str(error).rpartition("; ")
    return Finding(check=check, ok=False, detail=detail or mend, mend=mend if detail else "")


def _sqlite_path(settings: Settings) -> Path | None:
    from versemill.jobs.storage.database import parse_url, sqlite_path

    return sqlite_path(parse_url(settings.database_url))


def _sqlite_path_or_none(settings: Settings) -> Path | None:
    """Of a URL that is wrong, other checks tell."""
    try:
        return _sqlite_path(settings)
    except VersemillError:
        return None


def _existing(folder: Path) -> Path:
    """The nearest folder on the way up that exists."""
    return next(place for place in (folder, *folder.parents) if place.exists())
