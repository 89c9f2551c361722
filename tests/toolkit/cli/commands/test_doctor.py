"""Plugins, doctor."""

from __future__ import annotations

import json
import platform
import sqlite3
import subprocess
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest

from versemill.cli.commands import doctor as doctor_module

if TYPE_CHECKING:
    from pathlib import Path


def test_plugins_list(command: Any) -> None:
    rows = command("plugins", "list", "--json").json
    assert {"kind": "cell", "name": "gru"}.items() <= next(
        row for row in rows if row["name"] == "gru"
    ).items()
    assert all(row["distribution"] and row["version"] and row["revision"] for row in rows)
    shown = command("plugins", "list").out
    assert shown.splitlines()[0].split() == ["KIND", "NAME", "DISTRIBUTION", "VERSION", "SUMMARY"]


@pytest.fixture
def broken_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution, installed as far as Python can tell, whose plugin cannot be imported."""
    info = tmp_path / "site" / "versemill_broken-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: versemill-broken\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[versemill]\nbroken = versemill_broken\n")
    (tmp_path / "site" / "versemill_broken.py").write_text("raise ValueError('out of tune')\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


@pytest.mark.usefixtures("broken_plugin")
def test_a_disabled_plugin_is_listed_with_its_reason_and_stops_nothing(command: Any) -> None:
    shown = command("plugins", "list")
    assert shown.code == 0
    assert "disabled: versemill-broken 1.2: import failed: ValueError: out of tune" in shown.out
    assert "gru" in shown.out
    (left_out,) = [row for row in command("plugins", "list", "--json").json if row["disabled"]]
    assert left_out["distribution"] == "versemill-broken"
    assert command("submit").code == 0


def findings(command: Any) -> dict[str, dict[str, Any]]:
    return {finding["check"]: finding for finding in command("doctor", "--json").json}


def test_a_healthy_installation(command: Any) -> None:
    examined = command("doctor")
    assert examined.code == 0, examined.out
    checks = [line.split(":")[0].split()[-1] for line in examined.out.splitlines()]
    assert checks == [
        "versions", "configuration", "schema", "database", "broker", "devices", "plugins",
        "pictures", "disk", "privacy",
    ]  # fmt: skip
    assert not any(line.startswith("wrong") for line in examined.out.splitlines())


def test_doctor_changes_nothing(command: Any, home: Path) -> None:
    (home / "versemill.db").unlink()
    assert command("doctor").code == 0
    assert list(home.iterdir()) == []


def test_doctor_notices_a_dead_broker_and_keeps_its_password(
    command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERSEMILL_BROKER_URL", "redis://:secret@127.0.0.1:1/0")
    examined = command("doctor")
    assert examined.code == 1
    assert "wrong  broker: redis://127.0.0.1:1/0 does not answer" in examined.out
    assert "secret" not in examined.out


def test_doctor_notices_another_schema(command: Any, home: Path) -> None:
    with sqlite3.connect(home / "versemill.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    schema = findings(command)["schema"]
    assert not schema["ok"]
    assert "upgrade" in schema["mend"]


def overwritten(content: bytes) -> bytes:
    """The database with damage in the middle of each page but the first."""
    pages = [content[at : at + 4096] for at in range(0, len(content), 4096)]
    return b"".join([pages[0], *(b"\xff" * 200 + page[200:] for page in pages[1:])])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda whole: b"lyrics " * (len(whole) // 7), "file is not a database"),
        (lambda whole: whole[: len(whole) // 2], "database disk image is malformed"),
        (lambda whole: whole[:4096], "database disk image is malformed"),
        (overwritten, "database disk image is malformed"),
    ],
    ids=["garbage", "half", "one page", "overwritten"],
)
def test_doctor_notices_a_damaged_file_and_says_how_to_restore_it(
    command: Any, home: Path, tmp_path: Path, queue: Any, damage: Any, message: str
) -> None:
    queue.submit("kept")
    queue.store.close()
    backup, file = tmp_path / "backup.db", home / "versemill.db"
    assert command("db", "backup", backup).code == 0
    file.write_bytes(damage(file.read_bytes()))
    found = findings(command)
    assert not found["schema"]["ok"]
    assert message in found["database"]["detail"]
    assert "versemill doctor" not in str(found)
    move, restore = found["database"]["mend"].split("`")[1::2]
    subprocess.run(move, shell=True, check=True)
    assert not list(home.glob("versemill.db*"))
    restore = restore.replace("/path/to/backup.db", str(backup))
    variable, _, *arguments = restore.split()
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv(*variable.split("=", 1))
        assert command(*arguments).code == 0
    assert findings(command)["database"]["ok"]
    assert [job["name"] for job in command("jobs", "--json").json] == ["kept"]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DROP TABLE lyrics", "lacks the table lyrics"),
        ("ALTER TABLE jobs DROP COLUMN inexact", "table jobs of database"),
    ],
)
def test_doctor_notices_what_a_schema_of_our_number_lacks(
    command: Any, home: Path, statement: str, message: str
) -> None:
    with sqlite3.connect(home / "versemill.db") as connection:
        connection.execute(statement)
    connection.close()
    found = findings(command)["database"]
    assert not found["ok"]
    assert message in found["detail"]


def test_doctor_does_not_advise_itself(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERSEMILL_DATABASE_URL", "postgresql://ann@127.0.0.1:1/versemill")
    found = findings(command)
    assert not found["database"]["ok"]
    assert "versemill doctor" not in str(found)


def test_doctor_writes_nothing_into_the_database(command: Any, home: Path) -> None:
    file = home / "versemill.db"
    assert command("doctor").code == 0
    before = file.read_bytes()
    assert command("doctor").code == 0
    assert file.read_bytes() == before


@pytest.mark.usefixtures("broken_plugin")
def test_doctor_notices_a_disabled_plugin(command: Any) -> None:
    examined = command("doctor")
    assert examined.code == 1
    assert "out of tune" in examined.out


def test_doctor_notices_a_wrong_setting(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERSEMILL_CORPUS_LIMIT_MB", "lots")
    examined = command("doctor")
    assert examined.code == 1
    assert "VERSEMILL_CORPUS_LIMIT_MB" in examined.out


def test_doctor_notices_a_full_disk(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_module, "_LEAST_FREE", 2**80)
    assert not findings(command)["disk"]["ok"]


def test_doctor_names_versions_even_if_all_else_is_wrong(
    command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERSEMILL_CORPUS_LIMIT_MB", "lots")
    message = findings(command)["versions"]["detail"]
    for name in ("versemill", "torch", "celery", "sqlalchemy"):
        assert f"{name} {version(name)}," in message
    assert f"Python {platform.python_version()}, {platform.system()} " in message


class TestPublicReport:
    """What `--json` prints goes into public issues."""

    @pytest.fixture
    def report(self, command: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.setenv("HOME", str(home.parent))
        monkeypatch.setenv("LOGNAME", "annabel")  # what getpass looks at first
        monkeypatch.setenv("VERSEMILL_USER", "carla")
        login = "dorothea:hunter2secret@127.0.0.2:1"
        monkeypatch.setenv("VERSEMILL_DATABASE_URL", f"postgresql://{login}/songs")
        monkeypatch.setenv("VERSEMILL_BROKER_URL", "redis://:hunter2secret@127.0.0.3:1/0")
        return str(command("doctor", "--json").out)

    def test_has_nobodys_name_password_host_or_home(self, report: str, home: Path) -> None:
        personal = (str(home.parent), "annabel", "carla", "dorothea", "hunter2secret", "127.0.0.")
        assert [words for words in personal if words in report] == []

    def test_still_says_what_is_wrong(self, report: str) -> None:
        found = {finding["check"]: finding["detail"] for finding in json.loads(report)}
        assert found["configuration"] == "data in ~/home, jobs of USER"
        assert found["broker"] == "redis://HOST:1/0 does not answer (ConnectionError)"
        assert "HOST" in found["database"]
        assert f"versemill {version('versemill')}" in found["versions"]

    def test_is_exact_where_nobody_else_reads(self, command: Any, home: Path) -> None:
        assert f"data in {home}, jobs of ann\n" in command("doctor").out

    def test_a_name_that_is_part_of_a_word_is_left_alone(
        self, command: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("VERSEMILL_USER", "versemil")
        assert "versemill " in findings(command)["versions"]["detail"]
