"""What the drill's jobs live on: SQLite alone, or PostgreSQL with Redis; and their faults."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from abc import ABC, abstractmethod
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psycopg
import redis

from servers import PostgreSQL, Valkey, free_port
from versemill.jobs import celery_client
from versemill.jobs.storage.database import upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers import Server

PASSWORD = "swordfish-drill"


class Stack(ABC):
    """A database and perhaps a broker of the drill's own."""

    name: str
    database_url: str
    broker_url: str

    @property
    @abstractmethod
    def versions(self) -> str:
        """What it is made of."""


class SQLite(Stack):
    """One file and nothing else."""

    name = "sqlite"
    broker_url = ""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "versemill.db"
        self.database_url = f"sqlite:///{self.path}"
        upgrade(self.database_url)

    @property
    def versions(self) -> str:
        """What it is made of."""
        return f"SQLite {sqlite3.sqlite_version}"

    def lock(self) -> sqlite3.Connection:
        """Keeps everybody from writing until the connection is closed."""
        holder = sqlite3.connect(self.path, timeout=3, check_same_thread=False)
        holder.execute("BEGIN IMMEDIATE")
        return holder


class Servers(Stack):
    """PostgreSQL, and Valkey as Redis with a password and an append-only file."""

    name = "servers"

    def __init__(self, postgres: PostgreSQL, valkey: Valkey) -> None:
        self.postgres = postgres
        self.valkey = valkey
        self.database_url = postgres.url
        self.broker_url = valkey.url
        upgrade(self.database_url)
        self._made_of = self._ask_versions()
        self._away: set[Server] = set()

    @property
    def versions(self) -> str:
        """What it is made of."""
        return self._made_of

    def _ask_versions(self) -> str:
        with psycopg.connect(self.postgres.url) as connection:
            number = connection.info.server_version
        with contextlib.closing(self.valkey.client()) as client:
            valkey = client.info("server")["valkey_version"]
        return f"PostgreSQL {number // 10_000}.{number % 10_000} and Valkey {valkey}"

    def terminate_backends(self) -> int:
        """Ends every connection to the database; how many there were."""
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            return connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'versemill'"
            ).rowcount

    @contextmanager
    def _client(self) -> Iterator[redis.Redis]:
        with (
            contextlib.closing(self.valkey.client()) as client,
            contextlib.suppress(redis.RedisError),
        ):
            yield client

    def flush(self) -> None:
        """Has the broker forget everything."""
        with self._client() as client:
            client.flushall()

    def up(self, server: Server) -> bool:
        """Whether it is there and nobody is about to bring it back."""
        return server not in self._away

    def take_away(self, server: Server, *, how: Literal["stop", "kill", "empty"]) -> None:
        """Stops or kills a server; empty, a broker loses what it has kept on disk too."""
        self._away.add(server)
        if how == "stop":
            server.stop()
        else:
            server.kill()
        if how == "empty":
            for path in server.folder.glob("appendonlydir/*"):
                path.unlink()

    def bring_back(self, server: Server) -> None:
        """Starts a server that was taken away, and waits until it answers."""
        server.start()
        self._away.discard(server)

    def reorder_messages(self, copies: int) -> None:
        """Multiplies the messages that wait, and turns their order round."""
        with self._client() as client:
            waiting: list[Any] = client.lrange(celery_client.QUEUE, 0, -1)
            for message in waiting * copies:
                client.rpush(celery_client.QUEUE, message)


@contextmanager
def opened(name: str, folder: Path) -> Iterator[Stack]:
    """The stack of that name; its servers end with the block."""
    if name == "sqlite":
        yield SQLite(folder)
        return
    with ExitStack() as stack:
        # Not below `folder`: a server's own user may not get there.
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="versemill-pg-")))
        postgres = stack.enter_context(PostgreSQL(data, port=free_port(), fsync=True))
        kept = folder / "valkey"
        kept.mkdir()
        valkey = stack.enter_context(Valkey(kept, password=PASSWORD, append_only=True))
        yield Servers(postgres, valkey)
