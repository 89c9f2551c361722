"""The corpora keep what Versemill asks of every corpus, and their songs stay apart."""

from versemill.testing import CorpusTests


class TestTidesZh(CorpusTests):
    name = "tides-zh"

    def test_it_has_song_boundaries(self) -> None:
        assert len(self.read().songs) == 12


class TestTidesEn(CorpusTests):
    name = "tides-en"

    def test_it_has_song_boundaries(self) -> None:
        assert len(self.read().songs) == 12
