from __future__ import annotations

import getpass
import os
from pathlib import Path

import pytest

from versemill.errors import ConfigError
from versemill.settings import Settings

VARIABLES = [
    "HOME",
    "DATABASE_URL",
    "BROKER_URL",
    "USER",
    "CORPUS_LIMIT_MB",
    "CHECKPOINT_SECONDS",
    "PLUGINS",
]


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(f"VERSEMILL_{name}", raising=False)


def test_everything_has_a_default() -> None:
    settings = Settings.from_environment()
    assert settings.home.is_absolute()
    assert settings.home.name == "versemill"
    assert settings.database_url == f"sqlite:///{settings.home / 'versemill.db'}"
    assert settings.broker_url == "memory://localhost"
    assert settings.corpus_limit == 64 * 1024 * 1024
    assert settings.checkpoint_seconds == 60
    assert settings.checkpoint_limit is None
    assert settings.plugins is None
    assert settings.user == getpass.getuser()


def test_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERSEMILL_HOME", "/data/mill")
    monkeypatch.setenv("VERSEMILL_DATABASE_URL", "postgresql+psycopg://db/mill")
    monkeypatch.setenv("VERSEMILL_BROKER_URL", "redis://broker")
    monkeypatch.setenv("VERSEMILL_USER", "小明")
    monkeypatch.setenv("VERSEMILL_CORPUS_LIMIT_MB", "2")
    monkeypatch.setenv("VERSEMILL_CHECKPOINT_SECONDS", "7")
    monkeypatch.setenv("VERSEMILL_CHECKPOINT_LIMIT_GB", "3")
    monkeypatch.setenv("VERSEMILL_PLUGINS", "/data/plugins")
    monkeypatch.setenv("VERSEMILL_TRACKING", "/data/runs")
    assert Settings.from_environment() == Settings(
        home=Path("/data/mill"),
        database_url="postgresql+psycopg://db/mill",
        broker_url="redis://broker",
        user="小明",
        corpus_limit=2 * 1024 * 1024,
        checkpoint_seconds=7,
        checkpoint_limit=3 * 10**9,
        plugins=Path("/data/plugins"),
        tracking=Path("/data/runs"),
    )


def test_another_process_can_be_given_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        home=Path("/data/mill"),
        database_url="postgresql+psycopg://db/mill",
        broker_url="redis://broker",
        user="小明",
        corpus_limit=2 * 1024 * 1024,
        checkpoint_seconds=7,
        checkpoint_limit=3 * 10**9,
        plugins=Path("/data/plugins"),
        tracking=Path("/data/runs"),
    )
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    assert Settings.from_environment() == settings


def test_the_database_lies_in_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERSEMILL_HOME", "/data/mill")
    assert Settings.from_environment().database_url == "sqlite:////data/mill/versemill.db"


def test_a_relative_home_becomes_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VERSEMILL_HOME", "here")
    assert Settings.from_environment().home == tmp_path / "here"


def test_only_the_memory_broker_is_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.from_environment().embedded
    monkeypatch.setenv("VERSEMILL_BROKER_URL", "redis://broker")
    assert not Settings.from_environment().embedded


@pytest.mark.parametrize("variable", ["CORPUS_LIMIT_MB", "CHECKPOINT_SECONDS"])
@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5", "²"])
def test_a_number_that_is_none_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(f"VERSEMILL_{variable}", value)
    with pytest.raises(ConfigError, match=f"VERSEMILL_{variable}"):
        Settings.from_environment()


def test_a_user_without_a_name_is_called_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert Settings.from_environment().user == f"uid-{os.getuid()}"
