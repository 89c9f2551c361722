"""Messages to real receivers on this machine, and what their URLs show."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

import pytest

from sinks import HTTPSink, SMTPSink
from versemill.errors import ConfigError
from versemill.jobs.service.receivers import check_url, deliver, shown_url

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def http() -> Iterator[HTTPSink]:
    with HTTPSink() as sink:
        yield sink


@pytest.fixture
def smtp() -> Iterator[SMTPSink]:
    with SMTPSink() as sink:
        yield sink


class TestDeliver:
    def test_to_a_webhook(self, http: HTTPSink) -> None:
        assert deliver(http.url, "a title", "a body").kind == "sent"
        (got,) = http.received
        assert (got["title"], got["message"]) == ("a title", "a body")

    def test_by_mail(self, smtp: SMTPSink) -> None:
        assert deliver(smtp.url, "a title", "a body").kind == "sent"
        (mail,) = smtp.received
        assert "Subject: a title" in mail
        assert "ann@example.org" in mail

    @pytest.mark.parametrize("status", [400, 404, 500, 503])
    def test_a_webhook_that_refuses(self, http: HTTPSink, status: int) -> None:
        http.status = status
        outcome = deliver(http.url, "t", "b")
        assert (outcome.kind, outcome.why) == (
            "refused",
            f"refused by the receiver (code {status})",
        )

    def test_a_mail_server_that_refuses(self, smtp: SMTPSink) -> None:
        smtp.refused.add("ann@example.org")
        outcome = deliver(smtp.url, "t", "b")
        assert (outcome.kind, outcome.why) == ("refused", "refused by the receiver (code 550)")
        assert smtp.received == []

    def test_nobody_there(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            url = f"json://127.0.0.1:{taken.getsockname()[1]}/"
        assert deliver(url, "t", "b").kind == "refused"

    def test_without_an_answer_nobody_knows(self, http: HTTPSink) -> None:
        http.status = None
        assert deliver(http.url, "t", "b").kind == "unknown"
        assert len(http.received) == 1

    def test_a_mail_that_only_some_take_is_not_sent_again(self, smtp: SMTPSink) -> None:
        smtp.refused.add("bob@example.org")
        url = smtp.url.replace("to=ann@example.org", "to=ann@example.org,bob@example.org")
        assert deliver(url, "t", "b").kind == "unknown"
        assert len(smtp.received) == 1

    def test_nothing_of_it_is_logged(
        self, http: HTTPSink, caplog: pytest.LogCaptureFixture
    ) -> None:
        http.status = 500
        with caplog.at_level(logging.DEBUG):
            deliver(http.url, "t", "b")
        assert "secret-hook" not in caplog.text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mailto://me:word@mail.example.org:25?to=x@y.z", "mailto://mail.example.org:25/***"),
        ("jsons://user:word@example.org/hook/key?x=key", "jsons://example.org/***"),
        ("slack://TokenA/TokenB/TokenC/#room", "slack://***"),
        ("DISCORD://12345/token", "discord://***"),
        ("json://[broken/hook", "json://***"),
        ("file:///etc/passwd", "***"),
        ("word", "***"),
    ],
)
def test_shown_url(url: str, shown: str) -> None:
    assert shown_url(url) == shown


@pytest.mark.parametrize(
    "url", ["", "word", "syslog://", "dbus://", "file:///x", "apprise://host/key", "exec://rm"]
)
def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="a URL that begins with one of discord, form"):
        check_url(url)


def test_what_is_incomplete_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigError, match="a complete URL of apprise for slack") as caught:
        check_url("slack://only-a-word")
    assert "only-a-word" not in str(caught.value)


def test_apprise_itself_sends_nothing_again() -> None:
    with pytest.raises(ConfigError, match="a URL without retry"):
        check_url("json://example.org/hook?retry=3")
