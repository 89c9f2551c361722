from __future__ import annotations

from typing import Any

import pytest

import versemill_plugins
from versemill.config.prefixes import chosen_prefixes
from versemill.plugins.registry import Registry
from versemill.plugins.resolution import resolve
from versemill.text.corpus import Text
from versemill.text.splitting import split

REGISTRY = Registry([versemill_plugins])
ENGLISH = "The moon is up\nI see it\nThe sun is down\nI sleep\nThe end of it all\n" * 3
OTHER_CHINESE = "小船摇呀摇\n小船过了桥\n月亮高高照\n" * 5
WITH_USUAL = "桥上的人不分开\n小船摇呀摇\n" * 9


def chosen(text: str, **table: Any) -> tuple[str, ...]:
    job = resolve(table, REGISTRY)
    corpus = Text((text,))
    return chosen_prefixes(job, corpus, split(corpus, job.text))


@pytest.mark.parametrize(
    ("text", "table", "prefixes"),
    [
        (ENGLISH, {"corpus": "en.txt"}, ("The ", "I ")),
        (ENGLISH, {"corpus": "en.txt", "recipe": "classic"}, ("The ", "I ")),
        (OTHER_CHINESE, {"corpus": "zh.txt"}, ("小船", "月亮高")),
        (OTHER_CHINESE, {"corpus": "zh.txt", "recipe": "classic"}, ("小船", "月亮高")),
        (WITH_USUAL, {"corpus": "zh.txt"}, ("桥上的", "小船摇")),
        (WITH_USUAL, {"corpus": "zh.txt", "recipe": "classic"}, ("分开", "不分开")),
        (WITH_USUAL, {"corpus": "starter-zh"}, ("分开", "不分开")),
        (WITH_USUAL.replace("不", ""), {"corpus": "starter-zh"}, ("分开",)),
    ],
)
def test_prefixes_are_the_recipes_where_the_text_has_them_else_the_texts(
    text: str, table: dict[str, Any], prefixes: tuple[str, ...]
) -> None:
    assert chosen(text, **table) == prefixes


def test_they_are_from_the_training_text_alone() -> None:
    text = "The moon\n" * 9 + "A held out line\n" * 40
    options = {"first": len("The moon\n") * 9, "newlines": "space"}
    assert chosen(text, corpus="en.txt", corpus_options=options) == ("The moon"[:4],)
