"""What a report for a public issue does not show: its reporter's names, home folder and servers."""

from __future__ import annotations

import os
import re
from typing import Any

_COMMON_NAMES = ("", "/", "root", "postgres", "versemill")
_RESOLVED = re.compile(r"(?<=\()[0-9A-Fa-f.:]+(?=\), port )")  # as PostgreSQL's client shows it


class PersonalNames:
    """What nobody has to know to help: the home folder, the user's names, the servers' hosts."""

    def __init__(self) -> None:
        import getpass
        from contextlib import suppress
        from pathlib import Path

        from versemill import settings
        from versemill.redaction import hosts_and_logins

        self._shown: dict[str, str] = {}
        with suppress(OSError, KeyError):  # no entry in the user database
            self._shown[getpass.getuser()] = "USER"
        self._shown[os.environ.get(settings.USER, "")] = "USER"
        for name in (settings.DATABASE_URL, settings.BROKER_URL):
            hosts, logins = hosts_and_logins(os.environ.get(name, ""))
            self._shown |= dict.fromkeys(logins, "USER") | dict.fromkeys(hosts, "HOST")
        with suppress(RuntimeError):  # no home folder
            self._shown[str(Path.home())] = "~"
        for common in _COMMON_NAMES:
            self._shown.pop(common, None)

    def hide_in(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row with other words for them, in every text but the check's name."""
        texts = {k: self._hide(v) for k, v in row.items() if isinstance(v, str) and k != "check"}
        return row | texts

    def _hide(self, text: str) -> str:
        for name in sorted(self._shown, key=len, reverse=True):
            whole = rf"(?<![\w.-]){re.escape(name)}(?![\w-])(?!\.\w)"
            text = re.sub(whole, self._shown[name], text)
        return _RESOLVED.sub("HOST", text)
