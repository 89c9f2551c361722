"""What the command line advises can be done: each situation is brought about, each command run."""

from __future__ import annotations

import shlex
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from advised import PLACEHOLDERS, commands, parse
from installations import make_older
from people import ANN
from versemill.cli.terminal.advice import ADVICE
from versemill.errors import (
    DivergedError,
    PlanMismatchError,
    PluginMismatchError,
    VersemillError,
)
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.service import local_fit
from versemill.jobs.states import FailureClass, State
from versemill.jobs.storage.tables import Job, Worker
from versemill.plugins.record import PluginRecord

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from command_line import Completed


@pytest.mark.parametrize("advice", ADVICE.values())
def test_every_command_of_the_table_is_one(advice: str) -> None:
    for arguments in commands(advice):
        parse(arguments)


def declared(of: type[VersemillError] = VersemillError) -> Iterator[tuple[str, str]]:
    yield (of.code, "")
    yield from ((of.code, reason) for reason in of.reasons)
    for error in of.__subclasses__():
        yield from declared(error)


def test_the_table_has_advice_for_what_there_is_only() -> None:
    assert set(ADVICE) <= set(declared())


def failed(queue: Any, error: VersemillError, *, job: int | None = None) -> None:
    worker = worker_api.register_worker(queue.store, "attic", 1)
    number = queue.submit("one").id if job is None else job
    claim = worker_api.claim(queue.store, worker, only=number)
    assert claim is not None
    worker_api.fail_or_retry(
        queue.store, claim, FailureClass.USER, error=str(error), cause=error.to_json()
    )


def elsewhere(queue: Any, version: str = "999") -> None:
    record = PluginRecord(kind="cell", name="gru", distribution="versemill", version=version)
    from command_line import CONFIG, TEXT

    wanted = service.Submission(config=CONFIG, text=TEXT, plugins=[record], name="one")
    service.enqueue(queue.store, wanted, ANN)


def on_another_machine(queue: Any) -> None:
    queue.submit("one")
    with queue.store.unit_of_work() as uow:
        uow.execute(update(Job).values(machine="cpu ABACUS, torch 9.0"))
        uow.commit()


def a_worker_with(queue: Any, **values: Any) -> None:
    worker_api.register_worker(queue.store, "attic", 1)
    with queue.store.unit_of_work() as uow:
        uow.execute(update(Worker).values(values))
        uow.commit()


class TestEachSituation:
    @pytest.fixture(autouse=True)
    def no_training(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """`run` does all but train, and nobody is waited for."""
        monkeypatch.setattr("versemill.cli.commands.run.train_here", lambda *_, **__: 0)
        monkeypatch.setattr(local_fit, "_RELEASE_SECONDS", 0.0)

    def follow(self, command: Any, said: Completed, *beginnings: str) -> None:
        """Runs what was advised; it begins with these words, and all of it succeeds."""
        advised = commands(said.out + said.err)
        assert len(advised) == len(beginnings), said
        for arguments, beginning in zip(advised, beginnings, strict=True):
            assert " ".join(arguments).startswith(beginning)
            done = command(*arguments)
            assert done.code == 0, (arguments, done)

    def test_names_that_nothing_has(
        self, command: Any, queue: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.follow(command, command("show", "nothing"), "jobs")
        self.follow(command, command("worker", "drain", "nothing"), "workers")
        (tmp_path / "broken.py").write_text("raise ValueError")
        monkeypatch.setenv("VERSEMILL_PLUGINS", str(tmp_path))
        self.follow(command, command("submit", "--cell", "nothing"), "plugins list")

    def test_nothing_to_list(self, command: Any, queue: Any) -> None:
        assert commands(command("jobs").err) == [["demo"]]
        assert commands(command("workers").err) == [["worker"]]
        parse(["demo"])
        parse(["worker"])
        queue.submit("one")
        self.follow(command, command("jobs", "--state", "failed"), "jobs")

    def test_an_encoding_that_cannot_be_told(
        self, command: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "short.txt"
        file.write_bytes("春眠不觉晓\n处处闻啼鸟\n".encode("gbk"))
        monkeypatch.setitem(PLACEHOLDERS, "PATH", str(file))
        self.follow(command, command("corpora", "add", "mine", file), "corpora add mine")
        wrong = command("corpora", "add", "mine", file, "--encoding", "utf-8")
        assert wrong.code == 1
        assert commands(wrong.err) == [["corpora", "add", "mine", str(file)]]
        file.write_bytes("la la la\nlu lu\n".encode("utf-16-le"))
        self.follow(command, command("corpora", "add", "mine", file), "corpora add mine")

    def test_after_nan(self, command: Any, queue: Any) -> None:
        command("submit", "--name", "one", "--set", "corpus_options.first=3000")
        failed(queue, DivergedError(1, 2, float("nan")), job=1)
        for said in (command("wait", "one"), command("show", "one")):
            arguments = next(a for a in commands(said.out) if a[0] == "submit")
            done = command(*arguments)
            assert done.code == 0, done
        first, second = (service.details(queue.store, number) for number in (1, 2))
        rate = first.config["training"]["learning_rate"]
        assert second.config["training"]["learning_rate"] == pytest.approx(rate / 10)
        assert second.content_hash == first.content_hash
        changed = {**second.config["training"], "learning_rate": rate}
        assert {**second.config, "training": changed} == first.config

    @pytest.mark.parametrize(
        ("error", "beginning"),
        [
            (PlanMismatchError("cannot continue"), "retry 1 --inexact"),
            (PluginMismatchError(["cell"]), "retry 1 --accept-change"),
        ],
    )
    def test_what_cannot_continue(
        self, command: Any, queue: Any, error: VersemillError, beginning: str
    ) -> None:
        failed(queue, error)
        self.follow(command, command("wait", "one"), beginning, "show 1")

    def test_a_finished_job(self, command: Any, queue: Any) -> None:
        queue.finished("one")
        self.follow(command, command("resume", "one"), "resume 1 --epochs")

    def test_a_job_that_has_failed(self, command: Any, queue: Any) -> None:
        queue.finish(queue.running("one"), State.FAILED, error="boom")
        self.follow(command, command("wait", "one"), "show 1")
        self.follow(command, command("resume", "one"), "retry 1")

    def test_a_job_that_was_cancelled(self, command: Any, queue: Any) -> None:
        queue.submit("one")
        command("cancel", "one")
        self.follow(command, command("wait", "one"), "retry 1")

    def test_a_job_that_is_paused(self, command: Any, queue: Any) -> None:
        queue.submit("one")
        command("pause", "one")
        self.follow(command, command("wait", "one"), "run 1")

    def test_a_running_job(self, command: Any, queue: Any) -> None:
        claim = queue.running("one")
        self.follow(command, command("rm", "one", "--yes"), "cancel 1")
        wait, pause = commands(command("run", "one").err)
        assert command(*pause).code == 0
        queue.finish(claim, State.PAUSED)
        assert command(*wait).code == 1  # it has stopped, and has not succeeded

    def test_plugins_of_another_version(self, command: Any, queue: Any) -> None:
        elsewhere(queue)
        self.follow(command, command("run", "one"), "run 1 --accept-change")

    def test_a_machine_of_another_kind(self, command: Any, queue: Any) -> None:
        on_another_machine(queue)
        self.follow(command, command("run", "one"), "run 1 --inexact")

    def test_waiting_for_a_worker(self, command: Any, queue: Any) -> None:
        said = command("submit", "--name", "one")
        assert commands(said.err) == [["worker"]]
        assert commands(command("show", "one").out) == [["worker"]]

    def test_waiting_for_a_machine(self, command: Any, queue: Any) -> None:
        on_another_machine(queue)
        a_worker_with(queue, machines=["cpu other, torch 9.0"])
        advised = command("show", "one")
        self.follow(command, advised, "pause 1", "resume 1 --inexact")

    def test_waiting_for_plugins(self, command: Any, queue: Any) -> None:
        elsewhere(queue)
        has = {"kind": "cell", "name": "gru", "distribution": "versemill", "version": "0.0.1"}
        a_worker_with(queue, plugins=[has])
        self.follow(command, command("show", "one"), "pause 1", "resume 1 --accept-change")

    def test_a_corpus_that_is_needed(self, command: Any, queue: Any, tmp_path: Path) -> None:
        file = tmp_path / "a.txt"
        file.write_text("".join(f"line {number} of it\n" for number in range(200)))
        command("corpora", "add", "mine", file)
        command("submit", "--corpus", "mine")
        self.follow(command, command("corpora", "remove", "mine"), "cancel 1")
        assert command("corpora", "remove", "mine").code == 0

    def test_an_odd_corpus(self, command: Any, queue: Any, tmp_path: Path) -> None:
        file = tmp_path / "a.txt"
        file.write_text("la la\ufffd\n" * 40)
        self.follow(command, command("corpora", "add", "mine", file), "corpora show mine")

    def test_a_schema_that_is_older(self, command: Any, home: Path) -> None:
        make_older(home / "versemill.db")
        self.follow(command, command("jobs"), "db upgrade")
        assert command("jobs").code == 0

    def test_a_schema_that_is_missing(
        self, command: Any, empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("VERSEMILL_DATABASE_URL", empty_postgres_url)
        self.follow(command, command("jobs"), "db upgrade")
        assert command("jobs").code == 0

    def test_workers_that_keep_from_upgrading(self, command: Any, home: Path) -> None:
        make_older(home / "versemill.db", worker="attic")
        refused = command("db", "upgrade")
        assert refused.code == 1
        with sqlite3.connect(home / "versemill.db") as connection:
            connection.execute("DELETE FROM workers")  # it has been ended
        connection.close()
        self.follow(command, refused, "db upgrade")

    def test_a_target_without_tables(
        self,
        command: Any,
        queue: Any,
        empty_postgres_url: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        queue.submit("one")
        refused = command("db", "copy-to", empty_postgres_url)
        assert refused.code == 1
        with monkeypatch.context() as there:
            there.setenv("VERSEMILL_DATABASE_URL", empty_postgres_url)
            self.follow(command, refused, "db upgrade")
        copied = command("db", "copy-to", empty_postgres_url)
        assert copied.code == 0, copied.err

    def test_an_installation_in_use(self, command: Any, queue: Any, sqlite_url: str) -> None:
        queue.running("one")
        (advised,) = commands(command("db", "copy-to", sqlite_url).err)
        assert advised[:2] == ["worker", "drain"]
        parse(advised)

    @pytest.mark.parametrize("url", ["postgresql://ann@127.0.0.1:1/x", None])
    def test_a_database_that_cannot_be_used(
        self, command: Any, home: Path, monkeypatch: pytest.MonkeyPatch, url: str | None
    ) -> None:
        (home / "versemill.db").write_bytes(b"lyrics " * 100)
        if url is not None:
            monkeypatch.setenv("VERSEMILL_DATABASE_URL", url)
        (advised,) = commands(command("jobs").err)
        examined = command(*advised)
        (database,) = [line for line in examined.out.splitlines() if " database: " in line]
        assert database.startswith("wrong")
        assert "; " in database

    def test_what_the_demo_says_next(self, command: Any, trained: str, queue: Any) -> None:
        from versemill.cli.commands.demo import next_steps

        steps = next_steps(service.find(queue.store, trained))
        for step in steps:
            _, *arguments = shlex.split(step)
            if arguments[0] in {"run", "--help"}:
                parse(arguments if arguments[0] == "run" else ["jobs"])
                continue
            done = command(*arguments)
            assert done.code == 0, done
