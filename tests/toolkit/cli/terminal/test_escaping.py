"""Text of other people never controls the terminal of whoever looks at it, in any command."""

from __future__ import annotations

import ast
import json
import os
import shutil
import unicodedata
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from rich.console import Console
from rich.live import Live
from sqlalchemy import select, update

import versemill.cli
from command_line import CONFIG, TEXT, CommandLineQueue, Completed
from people import ANN
from versemill.cli.program import program
from versemill.cli.terminal.curve_picture import draw
from versemill.cli.terminal.screen import LiveScreen
from versemill.cli.terminal.tables import table
from versemill.errors import ConfigError
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.service import local_worker
from versemill.jobs.states import State
from versemill.jobs.storage.columns import PlainText
from versemill.jobs.storage.tables import Base, Job, Worker
from versemill.jobs.storage.unit_of_work import Store
from versemill.plugins.record import PluginRecord
from versemill.text.corpus import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from versemill.jobs.views import JobView

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b1A\rall is well\u202e\u2067"
EVIL_NAME = f"{EVIL}\nforged: line\t\u200f"
"""With a line end, too, which a lyric may have and a name may not."""
SHOWN = r"\x1b]0;owned\x07\x1b[2J\x9b1A\rall is well\u202e\u2067"

EVIL_PLUGIN = {"kind": "cell", **dict.fromkeys(("name", "distribution", "version"), EVIL_NAME)}
WITH_LINES = {("lyrics", "text"), ("attempts", "output")}


def steers(text: str) -> set[str]:
    """The characters of an output that steer a terminal."""
    return {
        c
        for c in text
        if (unicodedata.category(c) in {"Cc", "Zl", "Zp", "Cs"} and c not in "\n\t")
        or unicodedata.bidirectional(c) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "PDI"}
    }


def assert_harmless(done: Completed) -> None:
    shown = done.out + done.err
    assert not steers(shown), ascii(shown)
    assert "\nforged" not in shown, shown
    assert "Traceback" not in shown, shown


def spoil(store: Store) -> None:
    """Writes what steers into every text of the database, as a member of it may."""
    with store.unit_of_work() as uow:
        for name, columns in Base.metadata.tables.items():
            for column in columns.columns:
                if isinstance(column.type, PlainText):
                    evil = EVIL if (name, column.name) in WITH_LINES else EVIL_NAME
                    uow.execute(update(columns).values({column.name: column.concat(evil)}))
        uow.execute(update(Worker).values(plugins=[EVIL_PLUGIN]))
        for number, config in uow.execute(select(Job.id, Job.config)).all():
            named = {"corpus": f"a{EVIL_NAME}", "prefixes": [EVIL_NAME]}
            uow.execute(update(Job).where(Job.id == number).values(config=config | named))
        uow.commit()


@pytest.fixture(scope="module")
def spoilt_database(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job in each state, a worker and a corpus, with evil wherever there is text."""
    path = tmp_path_factory.mktemp("damaged") / "versemill.db"
    shutil.copy(empty_database, path)
    store = Store.open(f"sqlite:///{path}")
    queue = CommandLineQueue(store)
    for state in State:
        claim = queue.running(f"in-{state}")
        queue.report(claim, 10)
        worker_api.record(store, claim, output="50 %\r\n100 %\n", remarks=["a remark"])
        if state is not State.RUNNING:
            worker_api.finish(
                store, claim, state, message="the end", error="it broke", exit="a signal"
            )
    plugins = (PluginRecord(**EVIL_PLUGIN),)
    submission = service.Submission(config=CONFIG, text=TEXT, plugins=plugins, name="needs")
    service.enqueue(store, submission, ANN)
    service.add_corpus(store, "poems", Text(("晨光\n",)), "a path", ANN)
    spoil(store)
    store.close()
    return path


PLUGIN = f"""
from versemill.plugins import hookimpl

@hookimpl
def versemill_register_samplers(register):
    register("mine", ":Mine", summary={EVIL_NAME!r})
"""


@pytest.fixture
def damaged(
    home: Path, spoilt_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    """The same as a test's own installation, with evil plugins, and workers that end at once."""
    shutil.copy(spoilt_database, home / "versemill.db")
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "mine.py").write_text(PLUGIN)
    (plugins / "raises.py").write_text(f"raise ValueError({EVIL_NAME!r})")
    monkeypatch.setenv("VERSEMILL_PLUGINS", str(plugins))
    monkeypatch.setenv("EVIL", EVIL_NAME)
    ends = ["/bin/sh", "-c", 'printf "%s" "$EVIL"; exit 1']
    monkeypatch.setattr(local_worker, "worker_command", lambda: ends)
    monkeypatch.setattr(os, "execv", lambda *_: None)  # `worker`
    monkeypatch.chdir(tmp_path)
    store = Store.open(f"sqlite:///{home / 'versemill.db'}")
    yield store
    store.close()


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command there is."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield (*path, name)


COMMANDS = list(leaves(program))


def values(parameter: click.Parameter, store: Store, folder: Path) -> list[str]:
    """What a command is given for an argument: all kinds of what it may mean."""
    name = parameter.name
    if isinstance(parameter.type, click.Choice):
        return [str(next(iter(parameter.type.choices)))]
    if name in {"job", "jobs", "source"}:
        return [*(str(job.id) for job in service.jobs(store)), f"none{EVIL_NAME}"]
    if name == "name":
        return [service.list_corpora(store)[0].name, f"none{EVIL_NAME}"]
    if name == "url":
        return [f"sqlite:///{folder}/copy{EVIL}.db"]
    return [str(folder / f"file{EVIL_NAME}.safetensors")]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_no_command_passes_it_on(
    command: Any, damaged: Store, tmp_path: Path, path: tuple[str, ...]
) -> None:
    context = click.Context(program)
    found: click.Command = program
    for name in path:
        assert isinstance(found, click.Group)
        found = found.get_command(context, name) or program
    options = {"wait": ["--timeout", "0"], "rm": ["--yes"]}.get(path[-1], [])
    rows: list[list[str]] = [[]]
    for parameter in found.params:
        if isinstance(parameter, click.Argument):
            given = values(parameter, damaged, tmp_path)
            rows = [[*row, value] for row in rows for value in given]
    shown = ""
    for row in rows:
        done = command(*path, *options, *row)
        assert_harmless(done)
        shown += done.out + done.err
    if any(parameter.name in {"job", "jobs", "source"} for parameter in found.params):
        assert SHOWN in shown  # it came as far as a job's name
    assert_harmless(command(*path, f"--none{EVIL}", *rows[0]))


def test_commands_that_compute_pass_nothing_on(command: Any, trained: str, home: Path) -> None:
    store = Store.open(f"sqlite:///{home / 'versemill.db'}")
    spoil(store)
    job = str(service.jobs(store)[0].id)
    store.close()
    exported = home / "exported.safetensors"
    for arguments in (
        ("generate", job, "--length", "3", "--prefix", "\u6625\u202e"),
        ("generate", job, "--length", "3", "--prefix", "\u6625\u202e", "--count", "2"),
        ("evaluate", job),
        ("checkpoints", "export", job, exported),
        ("curve", job, "--png", home / "curve.png"),
    ):
        done = command(*arguments)
        assert done.code == 0, done.err
        assert_harmless(done)


def in_state(store: Store, state: str) -> JobView:
    return next(job for job in service.jobs(store) if job.state == state)


def test_what_is_escaped_can_be_read(command: Any, damaged: Store) -> None:
    failed = in_state(damaged, "failed")
    for name in ("show", "logs", "lyrics", "wait", "curve"):
        done = command(name, str(failed.id))
        assert SHOWN in done.out + done.err
    assert r"all is well\u202e\u2067\nforged: line\t\u200f" in command("jobs").out
    assert "100 %\n" in command("logs", str(failed.id)).out


@pytest.mark.parametrize("name", ["show", "logs", "lyrics"])
def test_json_has_the_exact_text_without_the_characters(
    command: Any, damaged: Store, name: str
) -> None:
    done = command(name, str(in_state(damaged, "failed").id), "--json")
    assert not steers(done.out)
    assert any(EVIL in text for text in _texts(json.loads(done.out)))


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in inner for text in _texts(part)]


@pytest.mark.parametrize(
    "name",
    ["a\x1b[2J", "a\x9b", "a\x85b", "a\u202eb", "a\u200bb", "../up", "a/b", "a\\b", "a\nb", ""],
)
def test_names_of_jobs_hold_nothing_invisible_and_no_path(queue: Any, name: str) -> None:
    with pytest.raises(ConfigError, match="spaces, slashes or invisible ones"):
        queue.submit(name)


def test_a_live_screen_shows_it_escaped() -> None:
    written = StringIO()
    console = Console(file=written, width=200, color_system=None)
    with Live(console=console, auto_refresh=False) as live:
        screen = LiveScreen(console, live)
        screen.line(EVIL_NAME)
        screen.status(EVIL_NAME)
    assert written.getvalue().count(SHOWN) == 2
    assert not steers(written.getvalue())


def test_the_heading_of_a_picture_is_one_line(
    damaged: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.axes import Axes

    titles: list[str] = []
    set_title = Axes.set_title

    def note(axes: Axes, label: str, **rest: Any) -> Any:
        titles.append(label)
        return set_title(axes, label, **rest)

    monkeypatch.setattr(Axes, "set_title", note)
    with damaged.unit_of_work() as uow:
        uow.execute(update(Job).where(Job.id == 1).values(name=f"${{x${EVIL_NAME}"))
        uow.commit()
    job = service.find(damaged, "1")
    draw(job, service.curve(damaged, job.id), tmp_path / "curve.png", fonts=list)
    (title,) = titles
    assert not steers(title)
    assert "\n" not in title


def test_a_table_has_a_line_for_each_row() -> None:
    assert len(table(("A", "B"), [(EVIL_NAME, 1), (2, EVIL_NAME)]).split("\n")) == 3


PRINTING = {"output.py", "tables.py"}
"""The one place for output, and JSON."""


def test_commands_print_by_one_module() -> None:
    folder = Path(versemill.cli.__file__).parent
    printing = {
        path.name
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and _prints(node.func)
    }
    assert printing == PRINTING


def _prints(function: ast.expr) -> bool:
    called = ast.unparse(function)
    streams = ("sys.stdout.write", "sys.stderr.write", "sys.stdout.buffer.write")
    return called in {"print", "click.echo", "click.secho", "click.echo_via_pager", *streams}
