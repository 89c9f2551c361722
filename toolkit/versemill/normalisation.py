"""Brings all text into one form (Unicode NFC, lines ending in a newline), or refuses it.

Text comes from commands, job files, Python, the environment, plugins and corpora. The same text
must become the same characters from each of these. Text that would take long to normalise is found
first, by a check that reads each character once.
"""

from __future__ import annotations

import re
import unicodedata

from versemill.errors import ConfigError, TextError

MOST_MARKS = 100
"""Combining marks in a row. No script has so many, and sorting them takes quadratic time."""

CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
"""Control characters that no text has; tab, form feed and line ends are not among them."""

_LINE_END = re.compile(r"\r\r\n|\r\n|\r|\f")
_BREAK = re.compile("[\n\t\u2028\u2029]")
_SHOWN = 40  # characters of a refused text


def normalised(text: str) -> str:
    r"""`text` in NFC, with `\r\n` and `\r` as newlines; idempotent.

    Raises:
        TextError: more than `MOST_MARKS` combining marks in a row.
    """
    _refuse_marks(text)
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))


def cleaned(text: str) -> str:
    r"""The form of every text from outside: as `normalised`, and without control characters.

    A form feed is a line break, and `\r\r\n` (a file converted twice) is one line end.

    Raises:
        TextError: it is not valid Unicode, holds a control character other than tab and line
            ends, or more than `MOST_MARKS` combining marks in a row.
    """
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise TextError("it is not valid UTF-8", error.start) from None
    found = CONTROL.search(text)
    if found:
        raise TextError(f"it holds the control character U+{ord(found[0]):04X}", found.start())
    return normalised(with_line_ends(text))


def with_line_ends(text: str) -> str:
    r"""`text` with `\r\r\n`, `\r\n`, `\r` and form feeds as newlines."""
    return _LINE_END.sub("\n", text) if "\r" in text or "\f" in text else text


def prepared(text: str, where: str) -> str:
    """A prefix, an option or the like, as `cleaned` gives it.

    Raises:
        ConfigError: as `cleaned`; `where` names the setting.
    """
    try:
        return cleaned(text)
    except TextError as error:
        raise ConfigError(where, text, f"{error.reason}; write it without, in UTF-8") from None


def prepared_name(text: str, where: str) -> str:
    """A name, as `prepared` gives it; it has one line.

    Raises:
        ConfigError: as `prepared`, or it has a line end or a tab.
    """
    name = prepared(text, where)
    if _BREAK.search(name):
        raise ConfigError(where, text, "one line without tabs")
    return name


def spellings(name: str) -> tuple[str, ...]:
    """The stored names that `name` may mean, the most likely first.

    Names are stored in NFC; those of older installations are stored as they were typed.
    """
    if name.isascii():
        return (name,)
    composed = normalised(name)
    return tuple(dict.fromkeys((name, composed, unicodedata.normalize("NFD", composed))))


def _refuse_marks(text: str) -> None:
    """Finds the distinct marks, then a run of them; both take linear time."""
    if len(text) <= MOST_MARKS or text.isascii():
        return
    marks = "".join(filter(_is_mark, set(text)))
    if not marks:
        return
    found = re.search(f"[{re.escape(marks)}]{{{MOST_MARKS + 1}}}", text)
    if found:
        raise TextError(f"it has more than {MOST_MARKS} combining marks in a row", found.start())


def _is_mark(character: str) -> bool:
    """Whether the character is, or decomposes into, nothing but combining marks."""
    return not character.isascii() and all(
        map(unicodedata.combining, unicodedata.normalize("NFD", character))
    )
