"""Text as a terminal may show it: it steers neither the terminal nor the lines around it.

Names, messages and lyrics come from others: from the database, from plugins, from files. JSON
output has their exact text.
"""

from __future__ import annotations

import re

_STEERING = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_IN_TEXT = re.compile(f"[{_STEERING}]")
_IN_LINES = re.compile(f"[{_STEERING}\t\n\u061c\u200e\u200f]")


def harmless(text: str) -> str:
    """A text of several lines, with what could steer the terminal shown escaped.

    Those are control characters other than line end and tab, marks that reverse the order of what
    follows, and line separators that are no line ends.
    """
    return _IN_TEXT.sub(_escape, text)


def one_line(value: object) -> str:
    r"""The value on one line: as `harmless`, with line ends, tabs and marks of direction escaped.

    A line end is shown as `\n`, so that no name can begin a line of its own.
    """
    return _IN_LINES.sub(_escape, str(value))


def json_escaped(json: str) -> str:
    """JSON with the same characters as `harmless` in JSON's own escapes, which changes no value."""
    return _IN_TEXT.sub(lambda found: f"\\u{ord(found[0]):04x}", json)


def _escape(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]
