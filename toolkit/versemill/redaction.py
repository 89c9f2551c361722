"""Removes secrets from URLs and from messages.

`shown` makes the form of a URL that may be shown; messages of a database driver or a broker's
client go through `redacted`. Of a URL that can be parsed in two ways (for example with an `@` in
its password) only the scheme is shown; callers refuse such a URL before they parse it.
"""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

from versemill.escaping import harmless, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HIDDEN = "***"
ENCODE = "write the password with %40 for @, %2F for /, %3F for ?, %23 for # and %3B for ;"
"""What to do about an ambiguous URL."""

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?:(?P<user>[^\s:/?#@]*)(?::(?P<password>[^\s/?#@]*))?@)?"
    r"(?P<host>\[[0-9A-Fa-f:.%]*\]|[^\s:/?#@\[\]]*)(?P<port>:\d+)?"
    r"(?P<path>/[^\s?#@]*)?(?:\?(?P<query>[^\s#@]*))?"
)
_LOCAL = ("sqlite", "memory", "filesystem")  # schemes of URLs that hold a path and no login
_THIS_MACHINE = {"localhost", "127.0.0.1", "[::1]", "::1"}
_SECRET_KEY = re.compile(r"(?i)pass|pwd|secret|token")
_LOGIN = re.compile(  # bounded, so that a long line costs little
    r"(?<![\w+.-])([A-Za-z][\w+.-]{0,40})://([^\s@'\"<>]{0,500})@(?:[^\s'\"<>]{0,500}@)?"
)
_ASSIGNED = re.compile(
    r"(?i)(?<!\w)((?:\w{0,40}(?:password|passwd|secret)|pwd)[\"']?\s?[=:]\s?)"
    r"('[^']*'|\"[^\"]*\"|[^\s&'\",;]+)"
)
_LEAST = 4  # hiding a shorter text would hide half of the message, and so show what it is


def shown(url: str) -> str:
    """The URL without password and query; several, separated by `;`, one by one.

    A user name in a Redis URL is shown only with a password: without one, it may be a password.
    """
    return ";".join(_one_shown(part) for part in url.split(";"))


def is_ambiguous(url: str) -> bool:
    """Whether parsers may read the URL, or one of several, differently; see `ENCODE`."""
    return any(
        not part.startswith(_LOCAL) and _URL.fullmatch(part) is None for part in url.split(";")
    )


def hosts_and_logins(url: str) -> tuple[set[str], set[str]]:
    """Names of servers and users in one URL or several, without names of this machine."""
    hosts: set[str] = set()
    logins: set[str] = set()
    for part in url.split(";"):
        found = None if part.startswith(_LOCAL) else _URL.fullmatch(part)
        if found is None:
            continue
        logins.add(unquote(found["user"] or ""))
        hosts.update(found["host"].split(","))
        for pair in re.finditer(r"(?:^|&)(?:host|hostaddr)=([^&]*)", found["query"] or ""):
            hosts.update(unquote(pair[1]).split(","))
    return {h for h in hosts if not h.startswith("/")} - _THIS_MACHINE - {""}, logins - {""}


def redacted(message: str, *urls: str) -> str:
    """The message without the secrets of `urls`, and without any login or `password=` in it.

    Secrets are removed in every spelling: plain, percent-encoded, escaped as in Python or JSON.
    Those of fewer than four characters are removed only from logins and `password=`.
    """
    for secret in sorted({s for url in urls for s in _secrets(url)}, key=len, reverse=True):
        message = _spellings(secret).sub(HIDDEN, message)
    message = _LOGIN.sub(_login_hidden, message)
    return _ASSIGNED.sub(rf"\1{HIDDEN}", message)


def holds_secret(value: str, *urls: str) -> bool:
    """Whether a value is a secret of `urls`, or a URL that holds one."""
    found = {secret for url in urls for secret in _secrets(url)}
    return value in found or ("://" in value and any(secret in value for secret in found))


class RedactingFormatter(logging.Formatter):
    """Formats records, tracebacks included, without the secrets of the URLs given.

    A message has one line. Control characters of messages and tracebacks are escaped.

    Args:
        urls: whose secrets are hidden.
        format: of a line, as `logging.Formatter` takes it.
        datefmt: of times.
    """

    def __init__(self, urls: Iterable[str], format: str, datefmt: str) -> None:  # noqa: A002
        super().__init__(format, datefmt)
        self._urls = tuple(urls)

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return harmless(redacted(super().format(record), *self._urls))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - of the base class
        """The message on one line, as the format says."""
        record.message = one_line(record.message)
        return super().formatMessage(record)


def _one_shown(url: str) -> str:
    scheme, found, rest = url.partition("://")
    if scheme.split("+")[0] in _LOCAL:
        return f"{scheme}{found}{rest.partition('?')[0]}"
    parts = _URL.fullmatch(url)
    if parts is None:
        known = found and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme)
        return f"{scheme}://{HIDDEN}" if known else HIDDEN
    login = ""
    if parts["user"] and parts["password"] is not None:
        login = f"{parts['user']}:{HIDDEN}@"
    elif parts["user"]:
        login = f"{parts['user'] if scheme.startswith('postgres') else HIDDEN}@"
    return f"{scheme}://{login}{parts['host']}{parts['port'] or ''}{parts['path'] or ''}"


def _secrets(url: str) -> Iterator[str]:
    """Every secret text in the URL, decoded, if it is long enough to be removed."""
    for raw in _raw_secrets(url):
        # Drivers differ in whether `+` means a space.
        yield from (text for text in (raw, unquote(raw), unquote_plus(raw)) if len(text) >= _LEAST)


def _raw_secrets(url: str) -> Iterator[str]:
    if url.startswith(_LOCAL):
        return
    for part in {url, *url.split(";")}:
        _, _, rest = part.partition("://")
        login, at, _ = rest.rpartition("@")
        user, colon, password = login.partition(":")
        if colon:
            yield password
            yield from re.split(r"[@/?#:;]", password)  # what a parser may take for a host, say
        elif at and not part.startswith("postgres"):
            yield user
        for pair in re.finditer(r"[?&]([^=?&]*)=", rest):
            if _SECRET_KEY.search(unquote(pair[1])):
                value = rest[pair.end() :]
                yield from (value, value.partition("&")[0])


def _spellings(secret: str) -> re.Pattern[str]:
    """Finds a text, any of its characters percent-encoded or escaped."""
    return re.compile("".join(f"(?:{'|'.join(_ways(c))})" for c in secret))


def _ways(character: str) -> Iterable[str]:
    """Patterns of one character, each once: two equal ones would double the search with each."""
    code = ord(character)
    ways = [f"\\{character}", repr(character)[1:-1], json.dumps(character)[1:-1], character]
    patterns = [re.escape(way) for way in ways] + [r"\+"] * (character == " ")
    encoded = "".join(f"%{byte:02x}" for byte in character.encode("utf-8", "replace"))
    patterns.append(f"(?i:{encoded})")
    patterns.append(rf"(?i:\\u{code:04x}|\\U{code:08x}|\\x{code:02x})")
    return dict.fromkeys(patterns)


def _login_hidden(found: re.Match[str]) -> str:
    scheme, login = found.groups()
    user, colon, _ = login.partition(":")
    if scheme.startswith(_LOCAL) or "/" in user:
        return found[0]  # a path, or an address before the `@` of something else
    if (colon and user) or (not colon and scheme.startswith("postgres")):
        return f"{scheme}://{user}{colon}{HIDDEN if colon else ''}@"
    return f"{scheme}://{HIDDEN}@"
