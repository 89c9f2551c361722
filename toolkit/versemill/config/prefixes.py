"""Prefixes for a job that was given none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from versemill.config.recipes import usual_prefixes
from versemill.text.line_beginnings import line_beginnings
from versemill.text.splitting import Parts, split

if TYPE_CHECKING:
    from versemill.config.job import JobConfig
    from versemill.text.corpus import Text


def chosen_prefixes(config: JobConfig, text: Text, parts: Parts) -> tuple[str, ...]:
    """The recipe's usual prefixes if the training text has their characters, else others.

    Args:
        config: the job; its own prefixes are ignored.
        text: the corpus's text.
        parts: what `split` makes of it for this job.

    Returns:
        The usual prefixes, or frequent line beginnings of the training text. The same job on the
        same text always has the same prefixes.
    """
    characters = set(parts.training)
    usual = usual_prefixes(config.recipe, config.corpus)
    found = tuple(prefix for prefix in usual if characters.issuperset(prefix))
    if found:
        return found
    if config.text.newlines != "keep":  # its lines are one
        parts = split(text, replace(config.text, newlines="keep"))
    return line_beginnings(parts.training)
