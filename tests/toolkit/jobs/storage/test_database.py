"""Declared schema, migrated schema and what happens when a database has another."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, column, create_engine, insert, inspect, table, text
from sqlalchemy.exc import SQLAlchemyError

from people import ANN
from processes import started
from versemill.errors import DatabaseError, SchemaError
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.storage import database
from versemill.jobs.storage.columns import UTCDateTime, db_now
from versemill.jobs.storage.database import connect, parse_url, schema_status, upgrade
from versemill.jobs.storage.filesystems import network_filesystem, refuse_network_filesystem
from versemill.jobs.storage.tables import Base
from versemill.jobs.storage.unit_of_work import Store

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def migrated(database_url: str) -> Iterator[Engine]:
    engine = create_engine(parse_url(database_url))
    yield engine
    engine.dispose()


@pytest.fixture
def declared(request: pytest.FixtureRequest, migrated: Engine, tmp_path: Path) -> Iterator[Engine]:
    """A database of the same kind made by `create_all`."""
    if migrated.dialect.name == "sqlite":
        url = f"sqlite:///{tmp_path / 'declared.db'}"
    else:
        url = request.getfixturevalue("empty_postgres_url")
    engine = create_engine(parse_url(url))
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def _set_revision(url: str, revision: str) -> None:
    engine = create_engine(parse_url(url))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})
    engine.dispose()


class TestMigratedEqualsDeclared:
    def test_alembic_sees_no_difference(self, migrated: Engine) -> None:
        with migrated.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"compare_type": True, "compare_server_default": True}
            )
            assert compare_metadata(context, Base.metadata) == []

    def test_constraints_and_indexes_are_the_same(self, migrated: Engine, declared: Engine) -> None:
        assert _constraints(migrated) == _constraints(declared)

    def test_every_check_is_there(self, migrated: Engine) -> None:
        names = {
            str(check["name"])
            for table in Base.metadata.tables
            for check in inspect(migrated).get_check_constraints(table)
        }
        assert names == {
            *("ck_jobs_lease", "ck_jobs_state", "ck_jobs_request", "ck_attempts_outcome"),
            *("ck_attempts_failure", "ck_events_from_state", "ck_events_to_state"),
        }

    def test_sqlite_statements_are_the_same(self, sqlite_url: str) -> None:
        """What reflection does not show, such as AUTOINCREMENT."""
        made = create_engine(parse_url(sqlite_url))
        plain = create_engine("sqlite://")
        Base.metadata.create_all(plain)
        assert _statements(made) == _statements(plain)
        made.dispose()
        plain.dispose()


def _constraints(engine: Engine) -> dict[str, Any]:
    seen = inspect(engine)
    return {
        table: (
            sorted(seen.get_check_constraints(table), key=lambda c: str(c["name"])),
            sorted(seen.get_foreign_keys(table), key=lambda c: str(c["name"])),
            sorted(seen.get_unique_constraints(table), key=lambda c: str(c["name"])),
            sorted(seen.get_indexes(table), key=lambda c: str(c["name"])),
            seen.get_pk_constraint(table),
            [(column["name"], str(column["type"])) for column in seen.get_columns(table)],
        )
        for table in Base.metadata.tables
    }


def _statements(engine: Engine) -> dict[str, list[str]]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL"))
        return {
            name: sorted(
                part.strip(" \t\n")
                for part in re.split(r",(?![^(]*\))", _inside(sql.replace('"', "")))
            )
            for name, sql in rows  # a renamed column is quoted
            if name != "alembic_version"
        }


def _inside(sql: str) -> str:
    """What a statement creates: a column added later stands behind the constraints.

    A renamed one is quoted.
    """
    sql = sql.replace('"', "")
    return sql[sql.index("(") + 1 : sql.rindex(")")] + "," + sql[sql.rindex(")") + 1 :]


def _migrate_to(engine: Engine, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", "versemill_migrations:")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


class TestRevisions:
    def test_known_revisions_are_those_of_the_scripts(self) -> None:
        config = Config()
        config.set_main_option("script_location", "versemill_migrations:")
        scripts = ScriptDirectory.from_config(config)
        assert scripts.get_current_head() == database.HEAD
        newest_first = [script.revision for script in scripts.walk_revisions()]
        assert tuple(reversed(newest_first)) == database.REVISIONS

    def test_the_library_is_not_shadowed(self) -> None:
        import versemill_migrations

        folder = Path(versemill_migrations.__file__).parents[1]
        assert not (folder / "__init__.py").exists()


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


_AT = "'2026-11-24 00:00:00'"
OLD_JOB = (
    f"INSERT INTO users (id, name, created_at) VALUES (7, 'ann', {_AT})",
    "INSERT INTO texts (content_hash, content, characters, songs, created_at) "
    f"VALUES ('abc', '', 0, 0, {_AT})",
    "INSERT INTO jobs (id, name, owner_id, state, request, config, plugins, recipe, corpus, cell, "
    "content_hash, attempt, queued_at, available_at, created_at, step, epoch, epochs, inexact, "
    "retries_from) VALUES (1, 'old', 7, 'paused', 'none', '{}', "
    """'[{"kind": "cell", "name": "x", "distribution": "dist-y", "version": "1.2"}]', """
    f"'default', 'poems', 'x', 'abc', 1, {_AT}, {_AT}, {_AT}, 20, 2, 50, false, 0)",
)


def _add_worker(engine: Engine, name: str, *, seen: float) -> None:
    """A row as a worker of schema 0002 writes it, last seen so many seconds from now."""
    seen_at = column("seen_at", UTCDateTime())
    names = ("id", "name", "host", "pid", "slots", "version", "started_at", "steady_since")
    workers = table("workers", *map(column, names), seen_at)
    moment = db_now(seen)
    row = {"id": name, "name": name, "host": "house", "pid": 7, "slots": 1, "version": "0.1.0"}
    times = {"started_at": moment, "steady_since": moment, "seen_at": moment}
    with engine.begin() as connection:
        connection.execute(insert(workers).values(**row, **times))


class TestOtherSchemas:
    def test_newer_is_refused(self, database_url: str) -> None:
        _set_revision(database_url, "9999")
        with pytest.raises(SchemaError, match=r"9999.*newer"):
            connect(database_url)
        with pytest.raises(SchemaError, match="newer"):
            upgrade(database_url)

    def test_older_is_refused(self, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(database, "REVISIONS", (*database.REVISIONS, "0999"))
        monkeypatch.setattr(database, "HEAD", "0999")
        with pytest.raises(SchemaError, match=r"schema \d+.*needs 0999") as caught:
            connect(database_url)
        assert caught.value.reason == "older"

    def test_the_first_schema_is_upgraded_with_its_rows(
        self, request: pytest.FixtureRequest, kind: str, tmp_path: Path
    ) -> None:
        url = f"sqlite:///{tmp_path / 'old.db'}"
        if kind == "postgresql":
            url = request.getfixturevalue("empty_postgres_url")
        engine = create_engine(parse_url(url))
        _migrate_to(engine, "0001")
        user = "INSERT INTO users (id, name, created_at) VALUES (7, 'ann', '2026-11-24 00:00:00')"
        with engine.begin() as connection:
            connection.execute(text(user))
        assert upgrade(url).revision == "0001"
        with engine.begin() as connection:
            assert connection.execute(text("SELECT id, name FROM users")).all() == [(7, "ann")]
            context = MigrationContext.configure(connection)
            assert compare_metadata(context, Base.metadata) == []
        engine.dispose()
        connect(url).close()

    def test_a_job_of_before_plugins_were_needed_goes_on(
        self, request: pytest.FixtureRequest, kind: str, tmp_path: Path
    ) -> None:
        url = f"sqlite:///{tmp_path / 'old.db'}"
        if kind == "postgresql":
            url = request.getfixturevalue("empty_postgres_url")
        engine = create_engine(parse_url(url))
        _migrate_to(engine, "0002")
        with engine.begin() as connection:
            for statement in OLD_JOB:
                connection.execute(text(statement))
        engine.dispose()
        assert upgrade(url).revision == "0002"
        store = Store.open(url)
        service.resume(store, 1, ANN)
        worker = replace(worker_api.register_worker(store, "attic", 1), plugins=())
        claim = worker_api.claim(store, worker)
        assert claim is not None
        assert (claim.requirements, claim.accepted_by) == ((), None)
        assert service.details(store, 1).requirements == ()
        store.close()

    def test_one_with_live_workers_is_left_until_they_have_ended(
        self, request: pytest.FixtureRequest, kind: str, tmp_path: Path
    ) -> None:
        url = f"sqlite:///{tmp_path / 'old.db'}"
        if kind == "postgresql":
            url = request.getfixturevalue("empty_postgres_url")
        engine = create_engine(parse_url(url))
        _migrate_to(engine, "0002")
        _add_worker(engine, "attic", seen=-1.0)
        _add_worker(engine, "cellar", seen=-worker_api.LEASE_SECONDS - 1)
        with pytest.raises(DatabaseError) as caught:
            upgrade(url)
        assert "while workers are alive: attic (host house, pid 7); end them" in str(caught.value)
        assert caught.value.reason == "workers-alive"
        assert schema_status(url).revision == "0002"
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM workers WHERE name = 'attic'"))
        engine.dispose()
        assert upgrade(url).revision == "0002"
        assert schema_status(url).verdict == "current"

    def test_of_many_live_workers_some_are_named(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'old.db'}"
        engine = create_engine(parse_url(url))
        _migrate_to(engine, "0002")
        for name in "abcde":
            _add_worker(engine, name, seen=0.0)
        engine.dispose()
        with pytest.raises(DatabaseError, match=r"c \(host house, pid 7\), and 2 more; end them"):
            upgrade(url)

    def test_one_that_needs_nothing_is_left_to_its_workers(self, store: Store) -> None:
        worker_api.register_worker(store, "attic", 1)
        url = store.database.engine.url.render_as_string(hide_password=False)
        assert upgrade(url).verdict == "current"

    def test_empty_postgresql_is_never_migrated_silently(self, empty_postgres_url: str) -> None:
        with pytest.raises(SchemaError, match="is empty") as caught:
            connect(empty_postgres_url)
        assert caught.value.reason == "missing"
        assert schema_status(empty_postgres_url).verdict == "missing"
        assert upgrade(empty_postgres_url).verdict == "missing"
        assert schema_status(empty_postgres_url).verdict == "current"
        assert upgrade(empty_postgres_url).verdict == "current"
        connect(empty_postgres_url).close()

    def test_two_upgrades_at_once(self, empty_postgres_url: str) -> None:
        _all_at_once(3, lambda: upgrade(empty_postgres_url))
        connect(empty_postgres_url).close()

    def test_foreign_sqlite_file_is_left_alone(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'other.db'}"
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE recipes (id INTEGER)"))
        engine.dispose()
        with pytest.raises(SchemaError, match="holds something else"):
            connect(url)


class TestFirstUseOfSQLite:
    def test_created_silently_with_its_folder(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'not' / 'yet' / 'versemill.db'}"
        assert schema_status(url).verdict == "missing"
        assert not (tmp_path / "not").exists()
        connect(url).close()
        assert schema_status(url).verdict == "current"

    def test_several_processes_at_once(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'versemill.db'}"
        script = f"from versemill.jobs.storage.database import connect; connect({url!r}).close()"
        command = [sys.executable, "-c", script]
        with ExitStack() as stack:
            processes = [
                stack.enter_context(started(command, stderr=subprocess.PIPE)) for _ in range(3)
            ]
            for process in processes:
                _, errors = process.communicate(timeout=60)
                assert process.returncode == 0, errors.decode()

    def test_settings_of_every_connection(self, sqlite_url: str) -> None:
        opened = connect(sqlite_url)
        with opened.engine.connect() as connection:
            wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
            for name, value in wanted.items():
                assert connection.execute(text(f"PRAGMA {name}")).scalar() == value
        opened.close()

    def test_foreign_keys_are_on_after_a_migration(self, tmp_path: Path) -> None:
        opened = connect(f"sqlite:///{tmp_path / 'versemill.db'}")
        with opened.engine.connect() as connection:
            assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
        opened.close()


class TestUnusableDatabases:
    def test_folder_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(DatabaseError, match="VERSEMILL_DATABASE_URL"):
            connect(f"sqlite:///{tmp_path / 'file' / 'deeper' / 'versemill.db'}")

    def test_a_folder_is_no_database(self, tmp_path: Path) -> None:
        with pytest.raises(DatabaseError, match="writable, or set VERSEMILL_DATABASE_URL"):
            connect(f"sqlite:///{tmp_path}")

    def test_read_only(self, sqlite_url: str) -> None:
        path = sqlite_url.removeprefix("sqlite:///")
        opened = connect(f"sqlite:///file:{path}?mode=ro&uri=true")
        with (
            pytest.raises(DatabaseError, match=r"readonly.*make the file and its folder writable"),
            opened.plain_errors(),
            opened.writer.begin() as connection,
        ):
            connection.execute(text("DELETE FROM jobs"))
        opened.close()

    def test_damaged(self, tmp_path: Path) -> None:
        path = tmp_path / "versemill.db"
        path.write_bytes(b"no database at all, but long enough to be looked at" * 20)
        with pytest.raises(DatabaseError, match="not a database"):
            connect(f"sqlite:///{path}")

    @pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
    def test_in_memory(self, url: str) -> None:
        with pytest.raises(DatabaseError, match="cannot be shared with workers"):
            connect(url)

    def test_other_databases(self) -> None:
        with pytest.raises(DatabaseError, match=r"'mysql'.*sqlite.*postgresql") as caught:
            connect("mysql://root:hunter2@host/db")
        assert "hunter2" not in str(caught.value)


class TestSecrets:
    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://me:hunter2@127.0.0.1:1/db",
            "postgres://me:hunter2@127.0.0.1:1/db",
            "postgresql://me@127.0.0.1:1/db?password=hunter2",
            "postgresql://me:hunter2@127.0.0.1:notaport/db",
            "hunter2",
        ],
    )
    def test_passwords_are_never_shown(self, url: str) -> None:
        with pytest.raises(DatabaseError) as caught:
            connect(url)
        message = str(caught.value)
        assert "hunter2" not in message
        assert "\n" not in message

    def test_a_driver_that_repeats_the_password(self) -> None:
        opened = database.open_unchecked("postgresql://me:hunter2@host/db")
        with pytest.raises(DatabaseError, match=r"no login with \*\*\*$"), opened.plain_errors():
            raise SQLAlchemyError("no login with hunter2")
        opened.close()


class _Partition:
    def __init__(self, mountpoint: str, fstype: str, opts: str = "rw") -> None:
        self.mountpoint = mountpoint
        self.fstype = fstype
        self.opts = opts


class TestNetworkFileSystems:
    MOUNTED = (
        _Partition("/", "ext4"),
        _Partition("/mnt/team", "nfs4"),
        _Partition("/mnt/team/scratch", "xfs"),
        _Partition("/mnt/c", "9p", "rw,aname=drvfs;path=C:"),
        _Partition("/box", "9p", "rw,trans=fd"),
        _Partition("/home/me/remote", "fuse.sshfs"),
        _Partition("/home/me/over", "ext4"),
        _Partition("/home/me/over", "cifs"),
    )

    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("/var/versemill.db", None),
            ("/mnt/team/a/b.db", "nfs4"),
            ("/mnt/teams/b.db", None),
            ("/mnt/team/scratch/b.db", None),
            ("/mnt/c/b.db", "9p"),
            ("/box/b.db", None),
            ("/home/me/remote/b.db", "fuse.sshfs"),
            ("/home/me/over/b.db", "cifs"),
        ],
    )
    def test_deepest_mount_decides(self, path: str, kind: str | None) -> None:
        assert network_filesystem(Path(path), self.MOUNTED) == kind

    def test_refusal_names_the_way_out(self) -> None:
        with pytest.raises(DatabaseError, match="nfs4; set VERSEMILL_DATABASE_URL"):
            refuse_network_filesystem(Path("/mnt/team/b.db"), self.MOUNTED)

    def test_creating_a_database_asks(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mounted = [_Partition("/", "ext4"), _Partition(str(tmp_path.resolve()), "nfs")]
        monkeypatch.setattr("psutil.disk_partitions", lambda **_: mounted)
        with pytest.raises(DatabaseError, match="network file system"):
            connect(f"sqlite:///{tmp_path / 'versemill.db'}")


def _all_at_once(count: int, work: Any) -> None:
    errors: list[BaseException] = []
    ready = threading.Barrier(count)

    def run() -> None:
        ready.wait()
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not be there
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
