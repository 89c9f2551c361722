"""How original a generated text is: the share that is copied, and how varied it is.

Perplexity does not show whether a model copies its training text; these two figures do.
"""

from __future__ import annotations

from versemill.errors import ConfigError


def usual_span(text: str) -> int:
    """Length from which a stretch counts as copied: 8 characters in Chinese, 20 elsewhere.

    Measured on the bundled songs: original songs share almost no stretch of that length with other
    songs (0.0 of their characters). In English, 8 letters are often a single common word.
    """
    characters = "".join(text.split())
    ideographs = sum("\u4e00" <= character <= "\u9fff" for character in characters)
    return 8 if 2 * ideographs >= len(characters) else 20


def copied_share(text: str, source: str, *, span: int | None = None) -> float:
    """Share of the characters of `text` that lie in a stretch found verbatim in `source`.

    A stretch counts from `span` characters on (`usual_span(text)` by default); line breaks and
    spaces are characters like any other, so prepare both texts alike. Time grows with
    `len(text) + len(source)` (times `span`), memory with `len(text)` only.

    Returns:
        0 (nothing copied, or `text` shorter than `span`) to 1 (all of it).

    Raises:
        ConfigError: `span` is less than 1.
    """
    span = usual_span(text) if span is None else span
    if span < 1:
        raise ConfigError("span", span, "at least 1")
    starts = range(len(text) - span + 1)
    own = {text[start : start + span] for start in starts}
    if not own:
        return 0.0
    shared = own.intersection(source[at : at + span] for at in range(len(source) - span + 1))
    copied = reached = 0  # characters copied so far; end of the last stretch
    for start in starts:
        if text[start : start + span] in shared:
            copied += start + span - max(start, reached)
            reached = start + span
    return copied / len(text)


def distinct(text: str, n: int = 2) -> float:
    """Distinct-n: distinct n-grams divided by all n-grams, over characters, white space ignored.

    The measure of Li et al., "A Diversity-Promoting Objective Function for Neural Conversation
    Models", NAACL 2016, taken over characters (it is defined over words there), since characters
    are what is generated here. It falls as texts grow: compare texts of one length.

    Returns:
        0 (also for a text of fewer than `n` characters) to 1 (nothing repeats).

    Raises:
        ConfigError: `n` is less than 1.
    """
    if n < 1:
        raise ConfigError("n", n, "at least 1")
    characters = "".join(text.split())
    grams = [characters[start : start + n] for start in range(len(characters) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0
