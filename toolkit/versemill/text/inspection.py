"""Figures of a text, and what looks wrong in it, so that it can be corrected before training.

Memory stays bounded: beside the text at most 40 bytes for each of its lines.
"""

from __future__ import annotations

import hashlib
import heapq
import re
import unicodedata
from array import array
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from versemill.text.corpus import Text

LONG_LINE = 1000
"""People write no longer lines; lines of lyrics seldom have 100 characters."""

_BLOCK = 1 << 20  # characters split into lines at a time
_SHOWN = 3  # longest lines, and lines that stand there most often
_EXCERPT = 60  # characters
_FULL_WIDTH = 0xFEE0  # from "!" to "！", and so on for all of printable ASCII
_CONTINUED = "\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"  # bytes 80 to BF, read as Latin-1 or cp1252
_MISREAD = re.compile(f"[ÂÃ][{_CONTINUED}]|[à-ï][{_CONTINUED}]{{2}}|ð[{_CONTINUED}]{{3}}")
_LOST = re.compile("锟斤拷|嚙踝蕭|烫烫烫|屯屯屯|ï¿½")  # U+FFFD or unset memory, read wrongly
_TELLTALES = (  # rare characters that the commonest ones become: UTF-8 read as GBK, Big5, and
    "鐨殑锛銆鈥嚗縺繧偟偰傪偼丄丅扂"  # Shift-JIS; Shift-JIS as GBK; GBK as Big5
)
_FEWEST_TELLTALES, _TELLTALES_PER = 3, 100_000  # each may also be meant, but seldom is
_INVISIBLE = re.compile("[\xad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]")
_PLACEHOLDERS = "□〓"
_MARKUP = re.compile(  # time stamps of LRC and SRT, tags, fields of JSON
    r"^[ \t]{0,8}\[\d{1,3}:\d\d[^\]\n]{0,8}\]|^\d\d:\d\d:\d\d[,.]\d{3} -->"
    r"|</?[A-Za-z][^<>\n]{0,60}>|^[ \t]{0,8}\{?\"[^\"\n]{1,40}\": ?[\"\[{\d]",
    re.MULTILINE,
)
_FEWEST_MARKUP = 3  # one or two may be meant
_FEWEST_SEPARATORS = 2  # lines that are alike; one may be a line of a song
_LONGEST_SEPARATOR, _MOST_SEPARATORS = 40, 1000  # characters; distinct ones that are counted
_SPACES = re.compile("[\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f]")


@dataclass(frozen=True)
class Place:
    """A line of the text; songs and lines count from 1, lines anew in each song."""

    song: int
    line: int
    excerpt: str


@dataclass(frozen=True)
class LongLine:
    """One of the longest lines."""

    characters: int
    place: Place


@dataclass(frozen=True)
class RepeatedLine:
    """A line that occurs more than once."""

    times: int
    text: str


@dataclass(frozen=True)
class Oddity:
    """Something that is probably a mistake.

    Attributes:
        kind: its name, one or two words.
        what: a description.
        found: the characters or sequences, and how often each occurs, most frequent first.
        first: where the first of them is.
        mend: how to correct it; the interface may add a command.
    """

    kind: str
    what: str
    found: tuple[tuple[str, int], ...]
    first: Place
    mend: str

    @property
    def times(self) -> int:
        """How often all of them occur together."""
        return sum(times for _, times in self.found)


@dataclass(frozen=True)
class Inspection:
    """The figures of a text.

    Attributes:
        size: bytes in UTF-8.
        lines: those that are not blank.
        repeated_lines: how many of them equal an earlier one.
        repeated_songs: songs that differ from an earlier one in white space only; they count once
            when whole songs are held out.
        likely_separator: a line that may separate songs if their boundaries are not known, empty
            for blank lines; None if there is no such line.
        pieces: how many songs it would give.
    """

    characters: int
    distinct_characters: int
    size: int
    songs: int
    lines: int
    longest_lines: tuple[LongLine, ...]
    repeated_lines: int
    most_repeated: tuple[RepeatedLine, ...]
    repeated_songs: int
    likely_separator: str | None
    pieces: int
    oddities: tuple[Oddity, ...]


def inspect(text: Text) -> Inspection:
    """Examines every character, line and song of a text; equal texts give equal figures."""
    counts: Counter[str] = Counter()
    for song in text.songs:
        counts.update(song)
    hashes, longest = _lines_of(text.songs)
    repeated, most = _repetition(hashes, text.songs)
    separator, pieces = (None, len(text.songs)) if text.segmented else _separator(text.songs[0])
    return Inspection(
        characters=text.characters,
        distinct_characters=len(counts),
        size=sum(times * len(c.encode("utf-8", "replace")) for c, times in counts.items()),
        songs=len(text.songs),
        lines=len(hashes),
        longest_lines=tuple(longest),
        repeated_lines=repeated,
        most_repeated=tuple(most),
        repeated_songs=_repeated_songs(text.songs),
        likely_separator=separator,
        pieces=pieces,
        oddities=tuple(_oddities(text.songs, counts, longest)),
    )


def _lines(song: str) -> Iterator[str]:
    """Its lines; never more than a block of them at a time."""
    start = 0
    while start <= len(song):
        end = song.find("\n", start + _BLOCK)
        end = len(song) if end < 0 else end
        yield from song[start:end].split("\n")
        start = end + 1


def _lines_of(songs: Sequence[str]) -> tuple[array[int], list[LongLine]]:
    """The hash of each line that is not blank, and the longest lines."""
    hashes = array("q")
    longest: list[tuple[int, int, int, str]] = []  # order: length, then the earlier
    enough = 0
    for song_number, song in enumerate(songs, 1):
        for number, line in enumerate(_lines(song), 1):
            stripped = line.strip()
            if not stripped:
                continue
            hashes.append(hash(stripped))
            if len(stripped) > enough:
                entry = (len(stripped), -song_number, -number, stripped[:_EXCERPT])
                if len(longest) < _SHOWN:
                    heapq.heappush(longest, entry)
                else:
                    heapq.heapreplace(longest, entry)
                enough = longest[0][0] if len(longest) == _SHOWN else 0
    return hashes, [
        LongLine(length, Place(-song, -number, excerpt))
        for length, song, number, excerpt in sorted(longest, reverse=True)
    ]


def _repetition(hashes: array[int], songs: Sequence[str]) -> tuple[int, list[RepeatedLine]]:
    """How many lines repeat another, and the lines that stand there most often."""
    import numpy as np  # late: the command line does without it where it can

    if not hashes:
        return 0, []
    ordered = np.frombuffer(hashes, dtype=np.int64)
    ordered.sort()  # in place
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    times = np.diff(np.append(starts, len(ordered)))
    most = times.max()
    candidates = np.flatnonzero(times >= max(2, most // 2))
    best = candidates[np.argsort(times[candidates], kind="stable")[::-1][:_SHOWN]]
    wanted = {int(ordered[starts[i]]): int(times[i]) for i in best}
    found: list[RepeatedLine] = []
    for line in (line for song in songs for line in _lines(song)):
        if not wanted:
            break
        stripped = line.strip()
        if stripped and (count := wanted.pop(hash(stripped), 0)):
            found.append(RepeatedLine(count, stripped[:_EXCERPT]))
    return len(ordered) - len(starts), sorted(found, key=lambda each: -each.times)


def _separator(song: str) -> tuple[str | None, int]:
    """The line that most likely stands between songs, and how many it would make.

    That is the commonest line without a letter or digit, or else a blank one.
    """
    marks: Counter[str] = Counter()
    for line in _lines(song):
        mark = line.rstrip()
        short = 0 < len(mark) <= _LONGEST_SEPARATOR and not any(map(str.isalnum, mark))
        if short and (mark in marks or len(marks) < _MOST_SEPARATORS):
            marks[mark] += 1
    frequent = [mark for mark, times in marks.most_common(1) if times >= _FEWEST_SEPARATORS]
    for separator in (*frequent, ""):
        pieces = _pieces(song, separator)
        if pieces > 1:
            return separator, pieces
    return None, 1


def _pieces(song: str, separator: str) -> int:
    """How many pieces that are not blank stand between lines that equal `separator`."""
    pieces, written = 0, False
    for line in _lines(song):
        stripped = line.rstrip()
        if stripped == separator:
            pieces, written = pieces + written, False
        elif stripped:
            written = True
    return pieces + written


def _repeated_songs(songs: Sequence[str]) -> int:
    if len(songs) == 1:
        return 0
    distinct = {hashlib.sha256(re.sub(r"\s+", "", song).encode()).digest() for song in songs}
    return len(songs) - len(distinct)


def _oddities(
    songs: Sequence[str], counts: Counter[str], longest: Sequence[LongLine]
) -> Iterator[Oddity]:
    """Everything odd, the worst first."""
    original = "add the original file again in its right encoding"
    yield from _of_characters(
        *(songs, counts, "\ufffd", "lost", "characters lost in an earlier conversion"),
        f"if the original file has them too, correct or delete those lines; else {original}",
    )
    yield from _misread(songs, counts, original)
    yield from _of_characters(
        *(songs, counts, _PLACEHOLDERS, "placeholder", "signs that stand for missing characters"),
        "write what is missing, or delete those lines; otherwise models learn to write these signs",
    )
    for kind, what, characters, mend in (
        ("control", "control characters", _having(counts, "Cc", but="\n\t"), "delete them"),
        (
            "private",
            "characters that Unicode does not define",
            _having(counts, "Co", "Cn", "Cs"),
            "replace them by the right characters; if the file is Big5 with Hong Kong characters, "
            "add it again in the encoding big5hkscs",
        ),
        (
            "invisible",
            "invisible characters",
            filter(_INVISIBLE.match, counts),
            "delete them, except where they join emoji, or letters of Arabic and Indic scripts",
        ),
        (
            "space",
            "unusual spaces",
            filter(_SPACES.match, counts),
            "replace each by a plain space, or by a line end",
        ),
    ):
        yield from _of_characters(songs, counts, characters, kind, what, mend)
    yield from _mixed_widths(songs, counts)
    yield from _markup(songs)
    if longest and longest[0].characters > LONG_LINE:
        yield Oddity(
            "long line",
            f"lines of more than {LONG_LINE:,} characters (the longest has "
            f"{longest[0].characters:,})",
            (),
            longest[0].place,
            "add line ends where verses end; if the lines are meant to be long, change nothing",
        )


def _having(counts: Counter[str], *categories: str, but: str = "") -> Iterator[str]:
    return (c for c in counts if unicodedata.category(c) in categories and c not in but)


def _of_characters(
    songs: Sequence[str],
    counts: Counter[str],
    characters: Iterable[str],
    kind: str,
    what: str,
    mend: str,
) -> Iterator[Oddity]:
    found = Counter({c: counts[c] for c in characters if counts[c]})
    if found:
        one_of = re.compile("[" + re.escape("".join(found)) + "]")
        yield Oddity(kind, what, tuple(found.most_common()), _first(songs, one_of), mend)


def _misread(songs: Sequence[str], counts: Counter[str], mend: str) -> Iterator[Oddity]:
    """Sequences that arise when text is decoded in a wrong encoding (mojibake)."""
    found: Counter[str] = Counter()
    if any(c in counts for c in "ÂÃð") or any(chr(c) in counts for c in range(0xE0, 0xF0)):
        found.update(
            piece[0] for song in songs for piece in _MISREAD.finditer(song) if _is_utf8(piece[0])
        )
    if any(c in counts for c in "锟嚙烫屯¿"):
        found.update(piece[0] for song in songs for piece in _LOST.finditer(song))
    telltales = {c: counts[c] for c in _TELLTALES if counts[c]}
    if sum(telltales.values()) >= max(_FEWEST_TELLTALES, counts.total() // _TELLTALES_PER):
        found.update(telltales)
    upper = Counter({c: counts[c] for c in map(chr, range(0xA1, 0x100)) if counts[c]})
    if not found and upper.total() > sum(n for c, n in counts.items() if not c.isspace()) * 3 / 4:
        found = upper  # no language has so many accents: any other encoding, read as Latin-1
    if found:
        # One pattern of all that was found would be slow where that is much.
        single = re.escape("".join(piece for piece in found if len(piece) == 1))
        any_of = f"{_MISREAD.pattern}|{_LOST.pattern}" + (f"|[{single}]" if single else "")
        what = "text decoded in a wrong encoding"
        first = _first(songs, re.compile(any_of), found)
        yield Oddity("mojibake", what, tuple(found.most_common()), first, mend)


def _is_utf8(piece: str) -> bool:
    """Whether the bytes that this stood for before are a character in UTF-8."""
    data = b"".join(
        bytes([ord(c)]) if ord(c) < 0x100 else c.encode("cp1252")  # noqa: PLR2004 - Latin-1
        for c in piece
    )
    try:
        return len(data.decode()) == 1
    except UnicodeDecodeError:
        return False


def _markup(songs: Sequence[str]) -> Iterator[Oddity]:
    """Time stamps, tags and records of formats that were read as plain text."""
    found: Counter[str] = Counter()
    for piece in (match[0] for song in songs for match in _MARKUP.finditer(song)):
        if piece in found or len(found) < _MOST_SEPARATORS:
            found[piece] += 1
    if found.total() >= _FEWEST_MARKUP:
        yield Oddity(
            "markup",
            "marks of another format than plain text",
            tuple(found.most_common()),
            _first(songs, _MARKUP),
            "if it is JSON, LRC or SRT, give the file that ending (.json, .jsonl, .lrc, .srt) and "
            "add it again; delete other markup",
        )


def _mixed_widths(songs: Sequence[str], counts: Counter[str]) -> Iterator[Oddity]:
    """Characters that occur in both their half-width and their full-width form."""
    pairs = [(chr(c), chr(c + _FULL_WIDTH)) for c in range(0x21, 0x7F)]
    pairs += [(" ", "\u3000")]
    pairs += [
        (half, full)
        for half in map(chr, range(0xFF61, 0xFFA0))
        if (full := unicodedata.normalize("NFKC", half)) != half
    ]
    rarer = [min(pair, key=counts.__getitem__) for pair in pairs if all(counts[c] for c in pair)]
    yield from _of_characters(
        songs,
        counts,
        rarer,
        "width",
        "characters that are there in full and in half width (the rarer form is shown)",
        "write each in one form where both mean the same",
    )


def _first(
    songs: Sequence[str], pattern: re.Pattern[str], among: Container[str] | None = None
) -> Place:
    """The line of the first match, `among` those that count; there is one."""
    number, song, start = next(
        (number, song, match.start())
        for number, song in enumerate(songs, 1)
        for match in pattern.finditer(song)
        if among is None or match[0] in among
    )
    line_start = song.rfind("\n", 0, start) + 1
    begin = max(line_start, start - _EXCERPT // 2)
    excerpt = song[begin : begin + _EXCERPT].split("\n")[0]
    return Place(number, song.count("\n", 0, start) + 1, excerpt)
