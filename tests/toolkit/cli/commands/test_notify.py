from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

from command_line import TINY_OPTIONS, run_process
from sinks import HTTPSink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def http() -> Iterator[HTTPSink]:
    with HTTPSink() as sink:
        yield sink


def test_add_list_test_remove(command: Any, http: HTTPSink) -> None:
    added = command("notify", "add", http.url, "--on", "failed,ended")
    shown = f"json://127.0.0.1:{http.port}/***"
    assert added.out == f"subscription 1: {shown} is told of ended, failed\n"
    listed = command("notify", "list", "--json").json
    assert [(each["receiver"], each["events"]) for each in listed] == [(shown, ["ended", "failed"])]
    assert shown in command("notify", "list").out
    assert command("notify", "test", 1).out == "sent\n"
    http.status = 500
    refused = command("notify", "test", 1)
    assert (refused.code, refused.complaint) == (
        1,
        "not sent: refused by the receiver (code 500)",
    )
    assert command("notify", "remove", 1).out == "removed subscription 1\n"
    assert command("notify", "list").out == ""


def test_a_url_from_standard_input(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("json://example.org/hook\n"))
    assert "json://example.org/***" in command("notify", "add", "-").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("add", "syslog://"), "receiver = '***' is not allowed: a URL that begins with one of"),
        (("add", "json://example.org/", "--on", "never"), "events = 'never' is not allowed"),
        (("remove", "7"), "no subscription named '7'; known: none"),
    ],
)
def test_refusals(command: Any, arguments: tuple[str, ...], words: str) -> None:
    done = command("notify", *arguments)
    assert done.code == 1
    assert words in done.complaint


def test_without_apprise(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "apprise", None)
    done = command("notify", "add", "json://example.org/")
    assert done.code == 1
    assert done.complaint == ("apprise is not installed here; `pip install 'versemill[notify]'`")


def test_the_worker_of_a_run_sends_what_it_ends_with(
    command: Any, home: Path, http: HTTPSink
) -> None:
    command("notify", "add", http.url)
    done = run_process(home, "run", "--name", "one", *TINY_OPTIONS)
    assert done.code == 0, done.err
    assert [got["title"] for got in http.received] == ["job 1 (one) succeeded"]
    (listed,) = command("notify", "list", "--json").json
    assert (listed["sent"], listed["waiting"], listed["failed"]) == (1, 0, 0)
