"""The roles of docker-compose.yml and of docs/operations.md on a real PostgreSQL."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest
import yaml
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from documents import blocks, read
from versemill.jobs.storage.database import parse_url, upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

SECRET = "${POSTGRES_PASSWORD:?choose one in .env}"
ROLES = yaml.safe_load(read("docker-compose.yml"))["configs"]["roles"]["content"]
(READER,) = (b.content for b in blocks(read("docs/operations.md")) if b.language == "sql")


class Team:
    """A database made as the files say, under names that nothing else on the server has."""

    def __init__(self, server: str) -> None:
        self.name = f"versemill_test_{uuid.uuid4().hex}"
        self.superuser = f"{self.name}_superuser"
        self.reader = f"{self.name}_reader"
        self._server = make_url(server)
        with self.engine().connect() as connection:
            made = f"CREATE ROLE {self.superuser} SUPERUSER LOGIN PASSWORD 'x'"
            connection.execute(text(made))
            for statement in self.statements(ROLES):
                connection.execute(text(statement))
        upgrade(self.url(self.name))
        with self.engine(self.name).connect() as connection:
            for statement in self.statements(READER):
                connection.execute(text(statement))

    def statements(self, script: str) -> list[str]:
        renamed = script.replace("versemill", self.name).replace("postgres ", f"{self.superuser} ")
        return [part for part in renamed.replace(SECRET, "secret").split(";") if part.strip()]

    def url(self, role: str) -> str:
        own = self._server.set(username=role, password="secret", database=self.name)
        return own.render_as_string(hide_password=False)

    def engine(self, database: str | None = None) -> Engine:
        url = self._server.set(database=database) if database else self._server
        parsed = parse_url(url.render_as_string(hide_password=False))
        return create_engine(parsed, poolclass=NullPool, isolation_level="AUTOCOMMIT")

    def remove(self) -> None:
        with self.engine().connect() as connection:
            connection.execute(text(f"DROP DATABASE {self.name} WITH (FORCE)"))
            for role in (self.reader, self.name, self.superuser):
                connection.execute(text(f"DROP ROLE {role}"))


@pytest.fixture(scope="module")
def team(postgres_server: str) -> Iterator[Team]:
    made = Team(postgres_server)
    yield made
    made.remove()


def _versemill(
    url: str, newcomer: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "versemill", *arguments],
        env=newcomer | {"VERSEMILL_DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_what_workers_log_in_as_is_no_superuser(team: Team) -> None:
    query = "SELECT rolsuper, rolcreaterole, rolpassword IS NULL FROM pg_authid WHERE rolname = :r"
    with team.engine().connect() as connection:
        assert connection.execute(text(query), {"r": team.name}).one() == (False, False, False)
        assert connection.execute(text(query), {"r": team.superuser}).one() == (True, False, True)


def test_reading_does_not_write(team: Team, newcomer: dict[str, str], tmp_path: Path) -> None:
    submit = ("submit", "--corpus", "starter-zh", "--epochs", "1", "--name", "tune")
    assert _versemill(team.url(team.name), newcomer, *submit).returncode == 0
    seen = _versemill(team.url(team.reader), newcomer, "jobs", "--json")
    assert [job["name"] for job in json.loads(seen.stdout)] == ["tune"]
    assert _versemill(team.url(team.reader), newcomer, "show", "tune").returncode == 0
    for change in (("cancel", "tune"), ("rm", "tune", "--yes"), submit):
        refused = _versemill(team.url(team.reader), newcomer, *change)
        assert refused.returncode == 1, change
        assert "permission denied" in refused.stderr
