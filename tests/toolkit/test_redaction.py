"""No secret of a URL is shown, whatever its characters and however it is spelled."""

from __future__ import annotations

import json
import logging
import re
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from versemill.jobs.storage.database import parse_url
from versemill.redaction import HIDDEN, RedactingFormatter, is_ambiguous, redacted, shown

# Of capitals that no message below has, so that only a leak can show them.
secrets = st.text(
    st.sampled_from("QXZJ0123456789@:/?#[]%&=+;, '\"\\é分\n*$") | st.characters(codec="utf-8"),
    min_size=4,
    max_size=12,
).map(lambda text: f"QX{text}ZJ")

URLS = (
    "postgresql://ann:{}@db.example:5432/mill",
    "postgres://ann:{}@[::1]/mill?sslmode=require",
    "postgresql://ann@db.example/mill?password={}",
    "postgresql://ann@db.example/mill?sslmode=require&sslpassword={}",
    "redis://:{}@broker.example:6379/0",
    "rediss://ann:{}@broker.example/0",
    "redis://broker.example/0?password={}",
    "sentinel://:{}@one.example:26379;sentinel://:{}@two.example:26379",
    "amqp://guest:{}@broker.example//",
)


def spellings(secret: str) -> set[str]:
    return {
        secret,
        quote(secret, safe=""),
        re.sub("%..", lambda found: found[0].lower(), quote(secret, safe="")),
        quote(secret, safe=" +"),
        quote_plus(secret),
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        ascii(secret)[1:-1],
    }


@pytest.mark.parametrize("url", URLS)
@settings(max_examples=25)
@given(secret=secrets)
def test_no_spelling_of_a_secret_is_left(url: str, secret: str) -> None:
    encoded = url.replace("{}", quote(secret, safe=""))
    assert not is_ambiguous(encoded)
    for spelling in spellings(secret):
        assert spelling not in shown(encoded)
        for message in (
            f"no login with {spelling}",
            f"cannot connect to {url.replace('{}', spelling)}: refused",
            f"{{'password': '{spelling}', 'port': 1}}",
        ):
            assert spelling not in redacted(message, encoded)


@pytest.mark.parametrize("url", [url for url in URLS if ";" not in url])
@settings(max_examples=25)
@given(secret=secrets)
def test_a_secret_that_was_not_encoded_is_hidden_too(url: str, secret: str) -> None:
    raw = url.replace("{}", secret)
    if is_ambiguous(raw):
        assert not any(piece in shown(raw) for piece in ("QX", "ZJ"))
    assert secret not in shown(raw)
    assert secret not in redacted(f"cannot connect to {raw}", raw)
    assert secret not in redacted(f"no login with {secret}", raw)


@given(st.text(max_size=80), st.sampled_from(URLS))
def test_any_text_is_taken_and_comes_out_the_same_twice(text: str, url: str) -> None:
    shown(text)
    is_ambiguous(text)
    once = redacted(text, url.replace("{}", "QXsecretZJ"), text)
    assert redacted(once) == redacted(redacted(once))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://ann:secret@db:5432/mill?sslmode=require", "postgresql://ann:***@db:5432/mill"),
        ("postgresql://ann@db/mill", "postgresql://ann@db/mill"),
        ("postgresql://postgres@/mill?host=/run/postgres", "postgresql://postgres@/mill"),
        ("redis://:secret@broker:6379/0", "redis://broker:6379/0"),
        ("redis://secret@broker/0", "redis://***@broker/0"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("redis://:a@one:1/0;redis://:b@two:2/0", "redis://one:1/0;redis://two:2/0"),
        ("sqlite:////home/a@b/mill.db?timeout=5", "sqlite:////home/a@b/mill.db"),
        ("memory://localhost", "memory://localhost"),
        ("postgresql://ann:p@ss@db/mill", "postgresql://***"),
        ("redis://:pa/ss@broker/0", "redis://***"),
        ("redis://:12?34@broker/0", "redis://***"),
        ("postgresql://db/mill?password=a@b", "postgresql://***"),
        ("hunter2", "***"),
        ("", "***"),
    ],
)  # fmt: skip
def test_what_is_shown(url: str, expected: str) -> None:
    assert shown(url) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("at redis://:se@host:1/0, once", "at redis://***@host:1/0, once"),
        ("at postgresql://a:se@h/d and redis://x:y@h", "at postgresql://a:***@h/d and redis://x:***@h"),
        ("postgresql://ann@db/mill", "postgresql://ann@db/mill"),
        ("host=db password=se user=ann", "host=db password=*** user=ann"),
        ('{"PGPASSWORD": "se cret", "port": 1}', '{"PGPASSWORD": ***, "port": 1}'),
        ("sqlite:////home/a@b/x.db is locked", "sqlite:////home/a@b/x.db is locked"),
        ("write to ann@example.org", "write to ann@example.org"),
        ("password authentication failed", "password authentication failed"),
    ],
)  # fmt: skip
def test_logins_vanish_without_knowing_them(message: str, expected: str) -> None:
    assert redacted(message) == expected


def test_a_password_of_a_few_letters_does_not_black_out_everything() -> None:
    assert redacted("database: no route", "redis://:a@host") == "database: no route"


@pytest.mark.parametrize("url", [url for url in URLS if url.startswith("postgres")])
@settings(max_examples=25)
@given(secret=secrets)
def test_what_the_database_floor_makes_of_a_url_shows_nothing(url: str, secret: str) -> None:
    parsed = parse_url(url.replace("{}", quote(secret, safe="")))
    rendered = parsed.render_as_string(hide_password=False)
    for text in (shown(rendered), redacted(f"no login at {rendered}", rendered)):
        assert not any(spelling in text for spelling in spellings(secret))


@given(secrets)
def test_tracebacks_are_formatted_without_secrets(secret: str) -> None:
    url = f"postgresql://ann:{quote(secret, safe='')}@db/mill"
    formatter = RedactingFormatter([url], "%(asctime)s %(message)s", "%H:%M:%S")
    error = ConnectionError(f"no login with {secret!r} at {url}")
    record = logging.LogRecord("x", logging.ERROR, "x", 1, "%s", (url,), (type(error), error, None))
    text = formatter.format(record)
    assert "ConnectionError: no login with" in text
    assert HIDDEN in text
    assert not any(spelling in text for spelling in spellings(secret))


@pytest.mark.parametrize("part", ["a", "0", "a://", "password", "a:", "@", "a://@", "pwd=", "\\"])
def test_a_long_line_costs_little(part: str) -> None:
    began = time.monotonic()
    redacted(part * (1 << 16), "redis://:aaaaaaaa%5C%5C%5C%5Caaaa@host")
    assert time.monotonic() - began < 10


def test_records_neither_steer_the_terminal_nor_begin_lines_of_their_own() -> None:
    formatter = RedactingFormatter([], "%(asctime)s %(message)s", "%H:%M:%S")
    error = ValueError("no \x1b[2J\nroom")
    printed = ("told to end by %s", ("ann\x1b]0;owned\x07\n12:00:00 forged\u202e",))
    plain = logging.LogRecord("x", logging.WARNING, "x", 1, *printed, None)
    assert formatter.format(plain).endswith(r"by ann\x1b]0;owned\x07\n12:00:00 forged\u202e")
    raised = logging.LogRecord("x", logging.ERROR, "x", 1, *printed, (ValueError, error, None))
    text = formatter.format(raised)
    assert "\x1b" not in text
    assert text.splitlines()[-2:] == [r"ValueError: no \x1b[2J", "room"]
