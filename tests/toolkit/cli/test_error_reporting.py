"""Exit codes, one line of complaint, and what a command may import."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from command_line import environment, run_process
from processes import started

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["jobz"], "did you mean 'jobs'"),
        (["jobs", "--jsn"], "'--jsn'"),
        (["jobs", "--limit", "0"], "--limit"),
        (["jobs", "--state", "done"], "--state"),
        (["show"], "JOB"),
        (["rm"], "JOBS"),
        (["plugins", "lst"], "'lst'"),
        (["submit", "--epochs", "-3"], "--epochs"),
        (["run", "--epochs", "many"], "--epochs"),
    ],
)
def test_wrong_usage(command: Any, arguments: list[str], words: str) -> None:
    done = command(*arguments)
    assert done.code == 2
    assert words.lower() in done.complaint.lower()
    assert "--help`" in done.complaint


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_every_command(command: Any, arguments: list[str]) -> None:
    shown = command(*arguments)
    assert shown.code == 0
    for name in ("demo", "run", "submit", "jobs", "curve", "lyrics", "db", "doctor", "corpora"):
        assert f"  {name} " in shown.out
    assert "..." not in shown.out.split("Train:")[1]  # every summary fits


def test_every_command_has_help_with_an_example(command: Any) -> None:
    from versemill.cli.program import SECTIONS

    for names in SECTIONS.values():
        for name in names:
            shown = command(name, "--help")
            assert shown.code == 0
            if "[ARGS]" not in shown.out:
                assert f"versemill {name}" in shown.out.split("Example", 1)[1]


@pytest.mark.parametrize(
    "name",
    ["plugins list", "corpora list", "corpora add", "corpora show", "checkpoints list",
     "checkpoints export", "db upgrade", "db status", "db copy-to", "db backup"],
)  # fmt: skip
def test_every_subcommand_has_help_with_an_example(command: Any, name: str) -> None:
    assert f"versemill {name}" in command(*name.split(), "--help").out.split("Example", 1)[1]


def test_version(command: Any) -> None:
    assert command("--version").out.startswith("versemill ")


def test_a_newer_schema_is_refused(command: Any, home: Path) -> None:
    connection = sqlite3.connect(home / "versemill.db")
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    done = command("jobs")
    assert done.code == 1
    assert "9999" in done.complaint


def test_something_else_than_a_database_is_refused(command: Any, home: Path) -> None:
    (home / "versemill.db").write_bytes(b"lyrics " * 1000)
    done = command("jobs")
    assert done.code == 1
    assert "not a database" in done.complaint


def test_a_home_that_cannot_be_made(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VERSEMILL_HOME", str(tmp_path / "file" / "home"))
    for arguments in (["jobs"], ["submit"], ["run"]):
        done = command(*arguments)
        assert done.code == 1
        assert "VERSEMILL_HOME" in done.complaint
    examined = command("doctor")
    assert examined.code == 1
    assert "wrong  database" in examined.out


def test_a_wrong_database_url_never_shows_its_password(
    command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERSEMILL_DATABASE_URL", "postgresql://ann:secret@127.0.0.1:1/versemill")
    done = command("jobs")
    assert done.code == 1
    assert "secret" not in done.complaint


def test_a_reader_that_goes_away_is_no_error(home: Path, queue: Any) -> None:
    for _ in range(3):
        queue.submit()
    command = [sys.executable, "-c", SLOW_WRITER]
    pipe = subprocess.PIPE
    with started(command, env=environment(home), stdout=pipe, stderr=pipe) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


SLOW_WRITER = """
import sys, time
sys.argv = ["versemill", "jobs", "--json"]
time.sleep(0.5)  # until the reader is gone
from versemill.cli import main
main()
"""


def test_what_is_to_happen_at_exit_happens(home: Path) -> None:
    code = (
        "import atexit, sys; atexit.register(print, 'bye'); from versemill.cli import main; main()"
    )
    for arguments, said, status in (
        (["--version"], "versemill", 0),
        (["show", "none"], "", 1),
        (["nonsense"], "", 2),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=environment(home),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status
        assert done.stdout.startswith(said)
        assert done.stdout.endswith("bye\n")  # into a pipe, so that it was flushed, too


def test_the_module_runs_too(home: Path) -> None:
    assert run_process(home, "--version").out.startswith("versemill ")


LIGHT = {
    "--help": ["sqlalchemy", "pydantic", "rich"],
    "jobs": ["pydantic", "rich", "alembic"],
    "jobs --json": ["pydantic", "rich", "alembic"],
    "show one": ["pydantic", "rich"],
    "plugins list": ["sqlalchemy", "rich"],
    "corpora list": ["rich"],
    "submit": ["rich"],
    "doctor": [],
    "curve one": ["matplotlib", "rich"],
    "run --help": ["sqlalchemy"],
    "generate --help": ["sqlalchemy"],
}


@pytest.mark.parametrize("arguments", LIGHT)
def test_start_up_imports_only_what_the_command_needs(
    home: Path, queue: Any, arguments: str
) -> None:
    queue.finished("one", epochs=2)
    script = (
        "import sys\n"
        "from versemill.cli.error_reporting import perform\n"
        f"code = perform({arguments.split()!r})\n"
        f"heavy = {['torch', 'numpy', 'celery', 'redis', *LIGHT[arguments]]!r}\n"
        "found = [m for m in heavy if m in sys.modules]\n"
        "sys.exit(code or (str(found) if found else 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
    )
    allowed = {"doctor": ["numpy"]}.get(arguments)  # matplotlib's, to look for fonts
    assert done.stderr.strip() == (str(allowed) if allowed else ""), done.stderr
