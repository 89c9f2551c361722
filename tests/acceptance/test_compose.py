"""docker-compose.yml as far as it can be held to account without an engine."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from documents import read

COMPOSE = read("docker-compose.yml")
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]


def test_it_starts_what_a_team_needs() -> None:
    assert {name: service["image"].split(":")[0] for name, service in SERVICES.items()} == {
        "postgres": "postgres",
        "redis": "redis",
    }


@pytest.mark.parametrize("name", SERVICES)
class TestService:
    def test_is_pinned_to_a_major_version(self, name: str) -> None:
        assert re.fullmatch(r"\w+:\d+(\.\d+)*", SERVICES[name]["image"])

    def test_is_asked_whether_it_is_well(self, name: str) -> None:
        commands = {"postgres": "pg_isready", "redis": "redis-cli"}
        how, command, *_ = SERVICES[name]["healthcheck"]["test"]
        assert (how, command) == ("CMD", commands[name])

    def test_is_open_to_this_machine_only(self, name: str) -> None:
        assert SERVICES[name]["ports"]
        assert all(port.startswith("127.0.0.1:") for port in SERVICES[name]["ports"])

    def test_keeps_its_data_in_a_named_volume(self, name: str) -> None:
        named = yaml.safe_load(COMPOSE)["volumes"]
        assert [volume.split(":")[0] in named for volume in SERVICES[name]["volumes"]] == [True]


def test_no_password_is_in_the_file() -> None:
    password = SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD"]
    assert re.fullmatch(r"\$\{POSTGRES_PASSWORD:\?[^}]+\}", password), "needed, from outside"


def test_the_urls_in_its_comment_fit_the_services() -> None:
    environment = SERVICES["postgres"]["environment"]
    user, database = environment["POSTGRES_USER"], environment["POSTGRES_DB"]
    assert f"postgresql://{user}:$POSTGRES_PASSWORD@localhost/{database}" in COMPOSE
    assert "redis://localhost:6379/0" in COMPOSE
