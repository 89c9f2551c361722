"""The wheel, installed away from the checkout, does the main job for a newcomer."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from documents import blocks, read
from fresh import Installed, build_wheel, install
from versemill.evaluation.originality import distinct
from versemill.plugins import NoOptions
from versemill_plugins.corpora.starter import chinese

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.timeout(900)  # the demo takes a minute on an idle machine
PACKAGES = ("versemill", "versemill_plugins", "versemill_workers", "versemill_migrations")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install(tmp_path_factory.mktemp("installed"), wheel)


@pytest.fixture(scope="module")
def demo(installed: Installed) -> str:
    return installed.run("versemill", "demo", timeout=600)


class TestInstalled:
    def test_packages_are_the_wheels_and_not_the_checkouts(self, installed: Installed) -> None:
        code = (
            "import importlib, json\n"
            f"print(json.dumps([importlib.import_module(m).__file__ for m in {PACKAGES}]))"
        )
        files = [Path(file) for file in json.loads(installed.run("python", "-c", code))]
        assert [f for f in files if not f.is_relative_to(installed.folder / "venv")] == []

    def test_torch_is_lent(self, installed: Installed) -> None:
        code = "import importlib.util as u; print(u.find_spec('torch').origin)"
        assert not Path(installed.run("python", "-c", code)).is_relative_to(installed.folder)

    def test_migrations_lyrics_and_licences_are_in_it(self, installed: Installed) -> None:
        files = {
            str(path.relative_to(installed.folder / "venv"))
            for path in (installed.folder / "venv").rglob("*")
        }
        for wanted in (
            r"versemill_migrations/versions/0001_initial\.py",
            r"versemill_migrations/script\.py\.mako",
            r"versemill_plugins/corpora/starter-(zh|en)\.txt",
            r"versemill_plugins/corpora/NOTICE",
            r"versemill/py\.typed",
            r"versemill-[\d.]+\.dist-info/licenses/LICENSE",
        ):
            assert any(re.search(wanted + "$", file) for file in files), wanted

    def test_no_folder_name_of_the_checkout_is_installed(self, installed: Installed) -> None:
        names = {path.name for path in (installed.folder / "venv").glob("lib/*/site-packages/*")}
        assert not names & {"toolkit", "plugins", "workers", "alembic", "tests", "benchmarks"}


class TestDemo:
    def test_writes_lyrics_for_both_prefixes(self, demo: str) -> None:
        final = demo.partition("final lyrics")[2]
        assert re.findall(r"after '(.+)':", final) == ["分开", "不分开"]
        assert re.findall(r"distinct-2 ([\d.]+), copied from the corpus \d+%", final)

    def test_lyrics_are_varied_and_shaped_like_songs(self, demo: str, installed: Installed) -> None:
        longest = max(
            len(line) for song in chinese(NoOptions()).songs for line in song.splitlines()
        )
        written = json.loads(installed.run("versemill", "lyrics", "1", "--json"))
        newest = max(lyric["step"] for lyric in written)
        final = [lyric["text"] for lyric in written if lyric["step"] == newest]
        assert len(final) == 2
        for text in final:
            lines = [line for line in text.splitlines() if line.strip()]
            assert distinct(text) >= 0.6
            assert len(lines) == 12
            assert max(Counter(lines).values()) <= 2
            assert max(map(len, lines)) <= 2 * longest

    def test_leaves_a_job_that_succeeded(self, demo: str, installed: Installed) -> None:
        (job,) = json.loads(installed.run("versemill", "jobs", "--json"))
        assert job["state"] == "succeeded"
        curve = json.loads(installed.run("versemill", "curve", "@last", "--json"))
        assert [point["epoch"] for point in curve] == list(range(1, job["epochs"] + 1))

    def test_says_what_to_try_next(self, demo: str) -> None:
        assert _next_steps(demo)[:3] == [
            "versemill generate 1 --prefix 春天 --lines 8 --seed 7",
            "versemill curve 1",
            "versemill evaluate 1",
        ]

    def test_what_it_says_to_try_works(self, demo: str, installed: Installed) -> None:
        for step in _next_steps(demo)[:3]:
            assert installed.run(*step.split(), timeout=120).strip()

    def test_is_as_readme_shows_it(self, demo: str) -> None:
        (shown,) = [b.content for b in blocks(read("README.md")) if b.language == "text"]
        assert _next_steps(shown) == _next_steps(demo)
        assert _shape(shown) <= _shape(demo)

    def test_writes_to_its_data_directory_and_nowhere_else(
        self, demo: str, installed: Installed
    ) -> None:
        places = [installed.folder / name for name in ("home", "elsewhere", "tmp")]
        assert [str(path) for place in places for path in place.rglob("*")] == []
        assert {path.name for path in (installed.folder / "data").iterdir()} <= {
            *("versemill.db", "versemill.db-wal", "versemill.db-shm", "logs", "spool")
        }
        assert list((installed.folder / "data" / "spool").iterdir()) == []


def _next_steps(output: str) -> list[str]:
    """The commands under "try next", without what is said about them."""
    lines = output.partition("try next\n")[2].splitlines()
    return [re.split(r" {2,}", line.strip())[0] for line in lines if line.startswith("  ")]


def _shape(output: str) -> set[str]:
    """The kinds of lines outside lyrics, figures left out."""
    kept: Sequence[str] = [line for line in output.splitlines() if re.match(r" {0,2}\S", line)]
    return {re.sub(r"[\d.,]+", "#", line) for line in kept if not line.startswith("  versemill")}
