"""The built-in plugins pass the suites that third-party plugins are held to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import pair_tokenizer
from versemill.plugins.registry import Registry
from versemill.testing import (
    CellTests,
    CorpusTests,
    DecoderTests,
    SamplerTests,
    TokenizerTests,
    TrackerTests,
)

if TYPE_CHECKING:
    from pathlib import Path


class TestStarterZh(CorpusTests):
    name = "starter-zh"


class TestStarterEn(CorpusTests):
    name = "starter-en"


class TestJaychou(CorpusTests):
    name = "jaychou"

    @pytest.fixture(autouse=True)
    def _own_text(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(type(self), "options", {"path": str(tmp_path / "j.txt")})
        (tmp_path / "j.txt").write_text("一二\r\n三\n", "utf-8")


class TestCharacters(TokenizerTests):
    name = "char"


class TestCharactersWithoutUnknown(TokenizerTests):
    name = "char"
    options = {"unknown": False}  # noqa: RUF012


class TestPairs(TokenizerTests):
    """Tokens of several characters keep what those of one do."""

    name = "pair"
    registry = Registry([pair_tokenizer])


class TestRandom(SamplerTests):
    name = "random"


class TestConsecutive(SamplerTests):
    name = "consecutive"


class TestRnn(CellTests):
    name = "rnn"


class TestGru(CellTests):
    name = "gru"


class TestGruBefore(CellTests):
    name = "gru"
    options = {"reset": "before"}  # noqa: RUF012


class TestLstm(CellTests):
    name = "lstm"


class TestGreedy(DecoderTests):
    name = "greedy"


class TestTemperature(DecoderTests):
    name = "temperature"


class TestTopK(DecoderTests):
    name = "top-k"


class TestTopP(DecoderTests):
    name = "top-p"


class TestRepetitionPenalty(DecoderTests):
    name = "repetition-penalty"


class TestTensorBoard(TrackerTests):
    name = "tensorboard"


class TestJsonLines(TrackerTests):
    name = "jsonl"
