"""Where messages go: e-mail, chats and webhooks, sent through apprise (the extra `notify`).

Of an attempt that fails, apprise says why in its log only. A message counts as refused where that
shows an answer that says no, or that no connection came about; in any other case it may have
arrived.
"""

from __future__ import annotations

import logging
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from versemill.errors import ConfigError, MissingPackageError
from versemill.phrases import listed
from versemill.redaction import HIDDEN

if TYPE_CHECKING:
    from types import ModuleType

_WITH_HOST = frozenset({"mailto", "mailtos", "json", "jsons", "form", "forms", "xml", "xmls"})
SCHEMES = _WITH_HOST | {
    "discord", "gchat", "gotify", "gotifys", "matrix", "matrixs", "mmost", "mmosts", "ntfy",
    "ntfys", "pover", "rocket", "rockets", "signal", "signals", "slack", "tgram", "workflows",
    "wxteams", "zulip",
}  # fmt: skip
"""Those that send over a network. Others of apprise's run or write something on the worker."""

_REFUSED_STATUS = re.compile(r"error=(\d{3})\b")
_REFUSED_BY_MAIL = re.compile(r"\((\d{3}), b['\"]")
_UNREACHED = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeout|Connection refused|No route to host|"
    r"Name or service not known|Temporary failure in name resolution|Network is unreachable"
)
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What has become of a message.

    Attributes:
        kind: `sent`; `refused`, and it has certainly not arrived; or `unknown`.
        why: if it was not sent; without secrets.
    """

    kind: Literal["sent", "refused", "unknown"]
    why: str = ""


def shown_url(url: str) -> str:
    """A receiver's URL without what may be secret: of a chat's only the scheme remains."""
    scheme, found, _ = url.partition("://")
    if not found or scheme.lower() not in SCHEMES:
        return HIDDEN
    host = ""
    if scheme.lower() in _WITH_HOST:
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
            host += f":{parts.port}" if parts.port else ""
        except ValueError:
            host = ""
    return f"{scheme.lower()}://{host}/{HIDDEN}" if host else f"{scheme.lower()}://{HIDDEN}"


def check_url(url: str) -> None:
    """Raises `ConfigError` for what is no receiver, and `MissingPackageError` without apprise."""
    scheme, found, _ = url.partition("://")
    if not found or scheme.lower() not in SCHEMES:
        raise ConfigError(
            "receiver", shown_url(url), f"a URL that begins with one of {listed(sorted(SCHEMES))}"
        )
    given = {key.lower() for key, _ in parse_qsl(url.partition("?")[2], keep_blank_values=True)}
    if "retry" in given:
        raise ConfigError("receiver", shown_url(url), "a URL without retry: it is sent again")
    if _receiver(url) is None:
        raise ConfigError("receiver", shown_url(url), f"a complete URL of apprise for {scheme}")


def deliver(url: str, title: str, body: str) -> Outcome:
    """Sends a message once; takes seconds, and never raises for what the receiver does.

    Raises:
        MissingPackageError: apprise is not installed.
    """
    with _one_at_a_time, _ApprisesLog() as log:
        receiver = _receiver(url)
        if receiver is None:
            return Outcome(kind="unknown", why="this version of apprise does not take its URL")
        try:
            if receiver.notify(title=title, body=body):
                return Outcome(kind="sent")
        except Exception as error:  # noqa: BLE001 - of code that is not ours; the kind is told
            return Outcome(kind="unknown", why=f"apprise raised {type(error).__name__}")
        return _failure(log.lines)


def _failure(lines: list[str]) -> Outcome:
    text = "\n".join(lines)
    if any(line.startswith("Sent ") for line in lines):
        return Outcome(kind="unknown", why="some of its receivers have taken it, others have not")
    status = _REFUSED_STATUS.search(text) or _REFUSED_BY_MAIL.search(text)
    if status is not None:
        return Outcome(kind="refused", why=f"refused by the receiver (code {status[1]})")
    if _UNREACHED.search(text):
        return Outcome(kind="refused", why="the receiver could not be reached")
    return Outcome(kind="unknown", why="no answer: it is not known whether it arrived")


class _ApprisesLog(logging.Handler):
    """Takes what apprise and urllib3 log, which may hold secrets, and lets nobody else have it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self._loggers = [logging.getLogger(name) for name in ("apprise", "urllib3")]

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def __enter__(self) -> _ApprisesLog:
        self._before = [(each.level, each.propagate) for each in self._loggers]
        for each in self._loggers:
            each.setLevel(logging.DEBUG)
            each.propagate = False
            each.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        for each, (level, propagate) in zip(self._loggers, self._before, strict=True):
            each.removeHandler(self)
            each.setLevel(level)
            each.propagate = propagate


def _receiver(url: str) -> Any:
    """What apprise makes of a URL; None where it makes nothing of it."""
    module = _apprise()
    asset = module.AppriseAsset(async_mode=False, app_id="Versemill", app_desc="Versemill")
    return module.Apprise.instantiate(url, asset=asset)


def _apprise() -> ModuleType:
    try:
        import apprise
    except ImportError:
        raise MissingPackageError("apprise", "notify") from None
    module: ModuleType = apprise
    return module
