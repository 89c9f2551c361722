"""What `doctor` advises can be done: each fault is brought about, mended as told, and gone."""

from __future__ import annotations

import re
import sqlite3
import subprocess
from importlib.metadata import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement

from advised import commands, parse
from installations import make_older
from versemill.cli.commands import doctor as doctor_module

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers import Valkey

    Change = Callable[[str, object], None]


def found(command: Any, check: str) -> dict[str, Any]:
    findings = command("doctor", "--json").json
    return next(finding for finding in findings if finding["check"] == check)


def mended(command: Any, check: str) -> bool:
    finding = found(command, check)
    return bool(finding["ok"]) and not finding["mend"]


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> Change:
    """Sets a variable of the environment."""
    return lambda name, value: monkeypatch.setenv(name, str(value))


def test_a_driver_that_fails(command: Any, tmp_path: Path, changed: Change) -> None:
    broken = tmp_path / "nvidia-smi"
    broken.write_text("#!/bin/sh\nexit 9\n")
    broken.chmod(0o755)
    changed("PATH", tmp_path)
    (options,) = re.findall(r"start workers with (--\S+ \w+)", found(command, "devices")["mend"])
    parse(["worker", *options.split()])


def test_a_schema_that_is_older(command: Any, home: Path) -> None:
    make_older(home / "versemill.db")
    finding = found(command, "schema")
    assert not finding["ok"]
    (advised,) = commands(finding["mend"])
    assert command(*advised).code == 0
    assert mended(command, "schema")


def test_an_older_schema_in_use(command: Any, home: Path) -> None:
    make_older(home / "versemill.db", worker="attic")
    (advised,) = commands(found(command, "schema")["mend"])
    refused = command(*advised)
    assert refused.code == 1
    with sqlite3.connect(home / "versemill.db") as connection:
        connection.execute("DELETE FROM workers")  # it was stopped
    connection.close()
    (again,) = commands(refused.err)
    assert command(*again).code == 0
    assert mended(command, "schema")


def test_a_schema_that_is_missing(command: Any, empty_postgres_url: str, changed: Change) -> None:
    changed("VERSEMILL_DATABASE_URL", empty_postgres_url)
    (advised,) = commands(found(command, "schema")["mend"])
    assert command(*advised).code == 0
    assert mended(command, "schema")
    assert mended(command, "database")


def test_what_is_to_be_installed_is_offered(
    command: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite3.connect(home / "versemill.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    offered = metadata("versemill")
    for check in ("schema", "pictures"):
        message = found(command, check)["mend"]
        (wanted,) = re.findall(r"`pip install (?:--upgrade )?'?([^`']+)'?`", message)
        requirement = Requirement(wanted)
        assert requirement.name == offered["Name"]
        assert requirement.extras <= set(offered.get_all("Provides-Extra") or [])


def test_a_wrong_setting(command: Any, changed: Change) -> None:
    changed("VERSEMILL_CORPUS_LIMIT_MB", "lots")
    assert found(command, "configuration")["mend"] == "correct it"
    changed("VERSEMILL_CORPUS_LIMIT_MB", 5)
    assert mended(command, "configuration")


def test_a_wrong_database_url(command: Any, changed: Change) -> None:
    changed("VERSEMILL_DATABASE_URL", "mysql://house/x")
    message = found(command, "database")["mend"]
    (example,) = re.findall(r"sqlite:///\S+", message)
    changed("VERSEMILL_DATABASE_URL", example)
    assert found(command, "schema")["ok"]


def test_a_second_damaged_database_does_not_take_the_place_of_the_first(
    command: Any, home: Path
) -> None:
    for content in (b"first", b"second"):
        (home / "versemill.db").write_bytes(content * 200)
        move = found(command, "database")["mend"].split("`")[1]
        subprocess.run(move, shell=True, check=True)
    kept = {file.read_bytes()[:5] for file in home.glob("*/versemill.db")}
    assert kept == {b"first", b"secon"}
    assert mended(command, "database")


def test_a_broker_that_is_away(command: Any, redis: Valkey, changed: Change) -> None:
    changed("VERSEMILL_BROKER_URL", "redis://127.0.0.1:1/0")
    assert "correct VERSEMILL_BROKER_URL" in found(command, "broker")["mend"]
    changed("VERSEMILL_BROKER_URL", redis.url)
    assert mended(command, "broker")


def test_a_broker_url_that_can_be_read_in_two_ways(command: Any, changed: Change) -> None:
    changed("VERSEMILL_BROKER_URL", "redis://:a@b@127.0.0.1:1/0")
    assert "%40 for @" in found(command, "broker")["mend"]
    changed("VERSEMILL_BROKER_URL", "redis://:a%40b@127.0.0.1:1/0")
    assert "does not answer" in found(command, "broker")["detail"]


def test_a_broken_plugin(command: Any, tmp_path: Path, changed: Change) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "broken.py").write_text("raise ValueError\n")
    changed("VERSEMILL_PLUGINS", folder)
    assert "remove it" in found(command, "plugins")["mend"]
    (folder / "broken.py").unlink()
    assert mended(command, "plugins")


def test_a_full_disk(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    changed: Change,
) -> None:  # fmt: skip
    larger = tmp_path / "larger"
    larger.mkdir()
    usage = doctor_module.shutil.disk_usage(tmp_path)
    free = lambda place: 2**40 if Path(place) == larger else 5  # noqa: E731
    monkeypatch.setattr(
        doctor_module.shutil, "disk_usage", lambda place: usage._replace(free=free(place))
    )
    assert "VERSEMILL_HOME" in found(command, "disk")["mend"]
    changed("VERSEMILL_HOME", larger)
    assert mended(command, "disk")


def test_a_pythonpath_that_means_any_folder(command: Any, tmp_path: Path, changed: Change) -> None:
    changed("PYTHONPATH", f":{tmp_path}")
    assert found(command, "imports")["mend"] == "write whole paths"
    changed("PYTHONPATH", tmp_path)
    assert "imports" not in {f["check"] for f in command("doctor", "--json").json}
