"""Recognises the encoding of a file's bytes, and decodes them.

An encoding is certain if the bytes have a byte order mark or are valid UTF-8, because text in other
encodings is almost never valid UTF-8. Anything else is a guess. A guess is used only if it is
clearly more likely than all other encodings.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from versemill.errors import ConfigError, CorpusError, TextError
from versemill.normalisation import CONTROL, normalised, with_line_ends

if TYPE_CHECKING:
    from collections.abc import Sequence

UTF_8 = "utf-8"

ENCODINGS = (
    *(UTF_8, "utf-16", "utf-16-le", "utf-16-be", "utf-32"),
    *("gb18030", "big5", "cp950", "big5hkscs"),
    *("cp932", "euc-jp", "cp949"),
    *("cp1250", "cp1251", "cp1252", "koi8-r", "latin-1"),
)
"""Encodings that a corpus may have; each stands for its aliases and subsets too."""

_WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949"}
_MARKS = (  # the longer first: UTF-32 begins as UTF-16 does
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UNGUESSED = {"utf-8", "utf-16", "utf-32", "latin-1"}  # certain, or like others in all that matters
_SAMPLE = 1 << 16  # bytes looked at for a guess
_LONGEST = 4  # bytes of a character in any of the encodings
_FEWEST = 32  # characters beyond ASCII: with fewer, several encodings look alike
_MARGIN = 0.07  # by how much the disorder of a guess must be lower than that of all others
_NAME_IT = "name the right one, one of " + ", ".join(ENCODINGS)
_GLIMPSE = 12  # characters
_END_OF_FILE = "\x1a"  # Ctrl-Z, with which programs of CP/M and DOS filled the last block
_DELETE = "\x7f"
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1f]")


@dataclass(frozen=True)
class _Candidate:
    """An encoding in which the bytes may be text; the lower `disorder`, the more likely."""

    encoding: str
    sample: str
    disorder: float
    coherence: float


def known_encoding(name: str) -> str:
    """The one of `ENCODINGS` that is meant by `name`, however it is written.

    Raises:
        ConfigError: it is none of them.
    """
    for spelling in (name, name.replace("-", "").replace("_", "")):  # "GB-18030" is no alias
        try:
            codec = codecs.lookup(spelling).name
        except (LookupError, ValueError):  # a NUL in it
            continue
        codec = _WIDER.get(codec, codec)
        for known in ENCODINGS:
            if codec == codecs.lookup(known).name:
                return known
    raise ConfigError("encoding", name, f"one of {', '.join(ENCODINGS)}; or convert it to UTF-8")


def decode(data: bytes, *, name: str, encoding: str = UTF_8) -> str:
    """Decodes bytes strictly, to NFC and newlines, without byte order mark and final Ctrl-Zs.

    Args:
        data: the whole content of a file.
        name: its name in messages.
        encoding: one of `ENCODINGS`.

    Raises:
        CorpusError: it is not in that encoding, or holds control characters; names the byte offset.
    """
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{name} is not {shown(encoding)}: byte 0x{data[error.start]:02x} at offset "
            f"{error.start:,} ({error.reason})",
            reason=_wrong(encoding),
        ) from None
    except UnicodeError as error:  # UTF-16 and UTF-32 have errors without a place
        raise CorpusError(
            f"{name} is not {shown(encoding)}: {error}", reason=_wrong(encoding)
        ) from None
    text = text.rstrip(_END_OF_FILE)
    found = CONTROL.search(text)
    if found:
        offset = len(text[: found.start()].encode(encoding))
        if found[0] > _DELETE:
            raise _misread(name, encoding, ord(found[0]), offset)
        raise _binary(name, data, ord(found[0]), offset)
    text = with_line_ends(text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}"))
    try:
        return normalised(text)
    except TextError as error:
        raise CorpusError(f"{name} is probably not text: {error.reason}; delete them") from None


def certain_encoding(data: bytes) -> str | None:
    """The encoding, if the bytes show it with certainty; None if it has to be guessed."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    return None if _first_beyond_utf8(data) is not None else UTF_8


def holds_controls(data: bytes) -> bool:
    """Whether bytes that are valid UTF-8 hold control characters that no text has."""
    return CONTROL.search(data.decode().rstrip(_END_OF_FILE)) is not None


def guessed_encoding(data: bytes, *, name: str) -> str:
    """The encoding of bytes that are not UTF-8, where one is clearly ahead of all others.

    Args:
        data: everything that is in this encoding; more data gives a better guess.
        name: its name in messages.

    Raises:
        CorpusError: it is binary data, or several encodings are as likely, or none is.
    """
    candidates = _candidates(data)
    if not candidates:
        found = _BINARY.search(data)
        if found:
            raise _binary(name, data, found[0][0], found.start())
        raise CorpusError(
            f"{name} is in no encoding that can be recognised (it is not UTF-8 from byte offset "
            f"{_first_beyond_utf8(data):,} on); {_NAME_IT}",
            reason="encoding-unsure",
        )
    best, *others = candidates
    rivals = [
        other
        for other in others
        if other.sample != best.sample
        and other.disorder < best.disorder + _MARGIN
        and other.coherence >= best.coherence / 2
    ]
    evidence = sum(not character.isascii() for character in best.sample)
    if rivals or evidence < _FEWEST:
        raise CorpusError(
            f"the encoding of {name} cannot be recognised with certainty: it is not UTF-8, and "
            f"may be {_glimpses([best, *rivals])}; {_NAME_IT}",
            reason="encoding-unsure",
        )
    return best.encoding


def shown(encoding: str) -> str:
    """An encoding, or several joined by ` and `, as people write them."""
    return encoding.upper().replace(" AND ", " and ")


def _candidates(data: bytes) -> list[_Candidate]:
    """Encodings in which all of the bytes are text, the most likely first."""
    from charset_normalizer import from_bytes  # late: most corpora are UTF-8

    start = _first_beyond_utf8(data) or 0
    # Around the first byte that tells anything; UTF-16 has line ends of two bytes.
    start = 0 if b"\0" in data[:_SAMPLE] else data.rfind(b"\n", 0, start) + 1
    guessed = [known for known in ENCODINGS if known not in _UNGUESSED]
    found: dict[str, _Candidate] = {}
    for cut in range(_LONGEST if len(data) - start > _SAMPLE else 1):  # one ends a character
        sample = data[start : start + _SAMPLE - cut]
        for match in from_bytes(sample, cp_isolation=guessed):
            for encoding in map(known_encoding, match.could_be_from_charset):
                if encoding in guessed and encoding not in found and _is_text(data, encoding):
                    found[encoding] = _Candidate(encoding, str(match), match.chaos, match.coherence)
    return sorted(found.values(), key=lambda each: (each.disorder, -each.coherence))


def _is_text(data: bytes, encoding: str) -> bool:
    try:
        return not CONTROL.search(data.decode(encoding).rstrip(_END_OF_FILE))
    except UnicodeError:
        return False


def _first_beyond_utf8(data: bytes) -> int | None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start
    return None


def _glimpses(candidates: Sequence[_Candidate]) -> str:
    """How the text would read in each encoding, at the place where they begin to differ."""
    samples = [candidate.sample for candidate in candidates]
    if len(samples) == 1:
        place = next((i for i, c in enumerate(samples[0]) if not c.isascii()), 0)
    else:
        place = next((i for i, c in enumerate(zip(*samples, strict=False)) if len({*c}) > 1), 0)
    start = max(0, place - _GLIMPSE // 2)
    read: dict[str, str] = {}  # several may read alike: the most likely is named
    for candidate in candidates:
        words = " ".join(candidate.sample[start : start + _GLIMPSE].split())
        read.setdefault(words, candidate.encoding)
    return " or ".join(f"{encoding} ({words}…)" for words, encoding in read.items())


def _binary(name: str, data: bytes, control: int, offset: int) -> CorpusError:
    return CorpusError(
        f"{name} looks like binary data: control character U+{control:04X} at byte "
        f"offset {offset:,}; a corpus is plain text, in which only tabs and line ends may occur",
        reason="maybe-utf-16" if 0 in data else "",
    )


def _misread(name: str, encoding: str, control: int, offset: int) -> CorpusError:
    """For control characters that only a wrong encoding makes of text."""
    where = f"control character U+{control:04X} at byte offset {offset:,}"
    if encoding != UTF_8:
        return CorpusError(
            f"{name} is probably not {shown(encoding)}: {where}", reason="encoding-wrong"
        )
    return CorpusError(
        f"{name} looks like binary data, or text that was decoded wrongly before: {where}; take "
        "the original file, or if it was UTF-8 read as Latin-1, undo that with "
        "`iconv -f utf-8 -t latin1 OLD > NEW`"
    )


def _wrong(encoding: str) -> str:
    """The reason of an error about text that is not in this encoding."""
    return "not-utf-8" if encoding == UTF_8 else "encoding-wrong"
