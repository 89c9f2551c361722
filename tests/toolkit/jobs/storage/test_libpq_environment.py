"""What libpq takes from the environment is in the URL afterwards, and no other than before."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import make_url

from versemill.errors import DatabaseError
from versemill.jobs.storage import database
from versemill.jobs.storage.libpq_environment import with_libpq_environment

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Sets variables; none of libpq's is there before."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    return monkeypatch


def parameters(url: str) -> dict[str, str]:
    """What the driver is given to connect with."""
    engine = database.open_unchecked(url).engine
    _, found = engine.dialect.create_connect_args(engine.url)
    return {name: str(value) for name, value in found.items() if name != "context"}


def test_without_variables_nothing_changes(variables: pytest.MonkeyPatch) -> None:
    for url in ("postgresql://ann:pw@db/mill", "sqlite:////tmp/x.db"):
        assert with_libpq_environment(url) == url


@pytest.mark.parametrize(
    ("url", "set_", "expected"),
    [
        ("postgresql://ann@db/mill", {"PASSWORD": "p@s/ö"}, {"password": "p@s/ö"}),
        ("postgresql://ann:own@db/mill", {"PASSWORD": "other"}, {"password": "own"}),
        ("postgresql://db/mill", {"PASSWORD": "p@s"}, {"password": "p@s", "host": "db"}),
        ("postgresql://db/mill", {"USER": "bo", "PASSWORD": "x"}, {"user": "bo", "password": "x"}),
        ("postgresql://", {"HOST": "db", "PORT": "6000"}, {"host": "db", "port": "6000"}),
        ("postgresql://", {"HOST": "/run", "PORT": "6000"}, {"host": "/run", "port": "6000"}),
        ("postgresql://", {"DATABASE": "mill"}, {"dbname": "mill"}),
        ("postgresql://db", {"HOST": "other", "PORT": "7"}, {"host": "db", "port": "7"}),
        ("postgresql://db:5/x", {"PORT": "7"}, {"port": "5"}),
        ("postgresql://db/x?sslmode=require", {"SSLMODE": "disable"}, {"sslmode": "require"}),
        ("postgresql://db/x", {"SSLMODE": "disable"}, {"sslmode": "disable"}),
        ("postgresql://db/x", {"PASSFILE": "/own/pass"}, {"passfile": "/own/pass"}),
    ],
)
def test_the_url_goes_first(
    variables: pytest.MonkeyPatch, url: str, set_: dict[str, str], expected: dict[str, str]
) -> None:
    for name, value in set_.items():
        variables.setenv(f"PG{name}", value)
    completed = with_libpq_environment(url)
    assert {**parameters(completed), **expected} == parameters(completed)
    assert {f"PG{name}" for name in set_} <= os.environ.keys()


@pytest.mark.parametrize("by_url", [False, True])
def test_a_service_is_looked_up(
    variables: pytest.MonkeyPatch, tmp_path: Path, by_url: bool
) -> None:
    (tmp_path / "services").write_text("[mill]\nhost=db\nuser=ann\npassword=secret\ndbname=mill\n")
    variables.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    if not by_url:
        variables.setenv("PGSERVICE", "mill")
    completed = with_libpq_environment(f"postgresql://{'?service=mill' if by_url else ''}")
    variables.delenv("PGSERVICEFILE")
    found = make_url(completed)
    assert (found.username, found.host, found.query.get("service")) == ("ann", "db", None)
    assert parameters(completed)["password"] == "secret"
    assert os.environ.get("PGSERVICE") == (None if by_url else "mill")


def test_a_service_that_is_not_there_is_told_when_connecting(
    variables: pytest.MonkeyPatch,
) -> None:
    completed = with_libpq_environment("postgresql://?service=nowhere")
    with pytest.raises(psycopg.OperationalError, match="nowhere"):
        psycopg.connect(**parameters(completed))


def test_a_port_that_is_no_number(variables: pytest.MonkeyPatch) -> None:
    variables.setenv("PGPORT", "harbour")
    with pytest.raises(DatabaseError, match=r"^PGPORT = 'harbour' is not allowed"):
        with_libpq_environment("postgresql://db/mill")


def test_our_own_settings_go_before_variables(variables: pytest.MonkeyPatch) -> None:
    variables.setenv("PGAPPNAME", "other")
    variables.setenv("PGOPTIONS", "-c search_path=other")
    assert with_libpq_environment("postgresql://db/mill") == "postgresql+psycopg://db/mill"
