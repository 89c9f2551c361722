"""The throw-away servers themselves: what a drill does to them must not change what they are."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import redis as client

from servers import PostgreSQL, Valkey, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="versemill-"))
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize("over", ["socket", "loopback"])
def test_postgresql_keeps_what_was_committed(folder: Path, over: str) -> None:
    port = free_port() if over == "loopback" else None
    with PostgreSQL(folder, port=port, fsync=True) as server:
        url = server.url
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept (number integer)")
        for away in (server.kill, server.stop):
            with psycopg.connect(url) as connection:
                connection.execute("INSERT INTO kept VALUES (1)")
            family = server.family()
            assert len(family) > 1
            away()
            assert not any(process.is_running() for process in family)
            server.start()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT sum(number) FROM kept").fetchone() == (2,)
        assert server.url == url


@pytest.mark.parametrize("append_only", [False, True])
def test_valkey_keeps_its_address_and_only_asked_its_data(folder: Path, append_only: bool) -> None:
    with Valkey(folder, password="sesame", append_only=append_only) as server:
        with contextlib.closing(server.client()) as user:
            user.set("kept", "yes")
        server.kill()
        assert server.family() == []
        server.start()
        with contextlib.closing(server.client()) as user:
            assert (user.get("kept") is not None) is append_only


def test_valkey_refuses_those_without_its_password(folder: Path) -> None:
    with (
        Valkey(folder, password="sesame") as server,
        contextlib.closing(client.Redis(port=server.port)) as unauthenticated,
        pytest.raises(client.AuthenticationError),
    ):
        unauthenticated.ping()


def test_a_test_may_kill_its_broker(redis: Valkey, redis_server: Valkey) -> None:
    redis.kill()
    with contextlib.closing(redis.client()) as user, pytest.raises(client.ConnectionError):
        user.ping()
    with contextlib.closing(redis_server.client()) as user:
        assert user.ping()
    redis.start()
