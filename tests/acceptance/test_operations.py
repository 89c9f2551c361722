"""docs/operations.md: what it names exists, and its unit and its overrides are right."""

from __future__ import annotations

import re
import shlex
from configparser import ConfigParser
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import yaml

from documents import blocks, links, read, rows, section
from product import (
    PASSWORDS,
    WORKERS,
    complaint,
    docker_compose,
    hand_over_seconds,
    unknown_variables,
)

if TYPE_CHECKING:
    from pathlib import Path

# Blocks inside lists are indented; fences are looked for at the beginning of a line.
PAGE = re.sub(
    r"^( +)```.*?^\1```$",
    lambda block: dedent(block[0]),
    read("docs/operations.md"),
    flags=re.DOTALL | re.MULTILINE,
)
BLOCKS = blocks(PAGE)
SERVICES = yaml.safe_load(read("docker-compose.yml"))["services"]
PROGRAMS = {
    *("docker", "export", "journalctl", "printf", "ssh", "sudo", "sudoedit", "umask", "versemill"),
    "CELERY_BROKER_URL=$VERSEMILL_BROKER_URL",
}
_OURS = re.compile(
    r"(?:\w+=\S+ )*"
    r"(?:docker compose exec worker |sudo systemd-run .* /opt/versemill/bin/|/opt/versemill/bin/)?"
    r"versemill (.+)"
    r"|docker run .* versemill:\w+ (.+)"
)


def _lines() -> list[str]:
    """Every shell line of the page: those of blocks, and those in the text."""
    listed = [c.strip() for b in BLOCKS if b.language == "sh" for c in b.commands]
    text = re.sub(r"^```.*?^```$", "", PAGE, flags=re.DOTALL | re.MULTILINE)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]
    return listed + [s for s in spans if re.match(r"(\w+=\S+ )*(versemill|docker) ", s)]


LINES = [re.sub(r"\s+", " ", line) for line in _lines()]
UNIT = ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
UNIT.optionxform = str  # type: ignore[assignment,method-assign]
UNIT.read_string("".join(block.content for block in BLOCKS if block.language == "ini"))


class TestCommands:
    def test_every_call_of_ours_is_taken_by_the_product(self) -> None:
        matches = [_OURS.fullmatch(line) for line in LINES]
        calls = [shlex.split(match[1] or match[2]) for match in matches if match]
        assert len(calls) >= 20
        assert [found for call in calls if (found := complaint(call)) is not None] == []

    def test_no_block_calls_a_program_that_is_not_looked_at(self) -> None:
        begins = {
            shlex.split(command)[0]
            for block in BLOCKS
            if block.language == "sh"
            for command in block.commands
        }
        assert begins == PROGRAMS

    def test_every_call_of_compose_is_one_it_takes(self) -> None:
        calls = [line.removeprefix("docker compose ") for line in LINES if "docker compose" in line]
        assert len(calls) >= 10
        for call in calls:
            words = shlex.split(call)
            if words[0] == "--profile":
                assert words[1] in SERVICES["worker-gpu"]["profiles"]
                words = words[2:]
            subcommand, *rest = words
            known = docker_compose(subcommand, "--help")
            assert known.returncode == 0, call
            while rest and rest[0].startswith("-"):
                assert re.search(rf"(?<!\S){rest[0]}\b", known.stdout), call
                del rest[0]
            assert not rest or rest[0].split("=")[0] in SERVICES, call

    def test_every_variable_of_ours_is_read_by_the_product(self) -> None:
        assert unknown_variables(PAGE) == set()

    def test_every_variable_of_the_compose_file_has_its_line(self) -> None:
        named = set(re.findall(r"\$\{(\w+)", read("docker-compose.yml")))
        documented = rows(section(PAGE, "With Docker Compose"))
        assert {row[0].strip("`") for row in documented} == named
        needed = {row[0].strip("`") for row in documented if row[1] == "none: needed"}
        assert needed == set(PASSWORDS)
        made = [b for b in BLOCKS if b.language == "sh" and "> .env" in b.content]
        assert set(re.findall(r"(\w+)=%s", made[0].content)) == needed


class TestOverrides:
    def test_ports_are_opened_on_the_private_network_beside_loopback(self, tmp_path: Path) -> None:
        services = _overridden("ports:", tmp_path)
        for name in ("postgres", "redis"):
            addresses = [port["host_ip"] for port in services[name]["ports"]]
            assert sorted(addresses) == ["10.8.0.1", "127.0.0.1"]

    def test_a_team_has_an_image_of_its_own(self, tmp_path: Path) -> None:
        services = _overridden("image:", tmp_path)
        assert services["worker"]["image"] == "versemill:team"
        assert "build" not in services["worker"]
        assert services["migrate"]["image"] == "versemill:cpu"


def _overridden(named: str, folder: Path) -> dict[str, Any]:
    """The services with the page's one override that has this key."""
    (override,) = (b.content for b in BLOCKS if b.language == "yaml" and named in b.content)
    (folder / "override.yml").write_text(override)
    (folder / "env").write_text("".join(f"{name}=x\n" for name in PASSWORDS))
    files = ("--file", "docker-compose.yml", "--file", folder / "override.yml")
    done = docker_compose("--env-file", folder / "env", *files, "config")
    assert (done.returncode, done.stderr) == (0, "")
    return dict(yaml.safe_load(done.stdout)["services"])


class TestUnit:
    def test_starts_a_worker_with_options_it_has(self) -> None:
        program, *arguments = shlex.split(UNIT["Service"]["ExecStart"])
        assert program == "/opt/versemill/bin/versemill"
        assert arguments[0] == "worker"
        assert complaint(arguments) is None

    def test_lets_the_worker_hand_over(self) -> None:
        service = UNIT["Service"]
        assert service["KillMode"] == "mixed", "trainers must not get the signal"
        assert "KillSignal" not in service
        assert service.getfloat("TimeoutStopSec") >= hand_over_seconds()
        assert service["OOMPolicy"] == "continue"

    def test_leaves_a_worker_down_that_was_told_to_end(self) -> None:
        assert UNIT["Service"]["Restart"] == "on-failure"

    def test_has_the_grace_of_the_containers(self) -> None:
        grace = {SERVICES[name]["stop_grace_period"] for name in WORKERS}
        assert grace == {"2m"}
        assert UNIT["Service"]["TimeoutStopSec"] == "120"
        assert all("--stop-timeout 120" in line for line in LINES if line.startswith("docker run"))

    def test_reads_secrets_from_a_file_of_roots(self) -> None:
        file = UNIT["Service"]["EnvironmentFile"]
        assert f"sudo install -D --mode=600 /dev/null {file}" in LINES
        assert "PASSWORD" not in "".join(UNIT["Service"].values())

    def test_may_write_where_the_data_is(self) -> None:
        service = UNIT["Service"]
        home = service["Environment"].removeprefix("VERSEMILL_HOME=")
        assert f"/var/lib/{service['StateDirectory']}" == home == service["WorkingDirectory"]

    def test_hardening_leaves_cuda_its_devices(self) -> None:
        harmful = {"PrivateDevices", "DevicePolicy", "ProtectClock", "MemoryDenyWriteExecute"}
        assert harmful.isdisjoint(UNIT["Service"])
        assert "AF_INET" in UNIT["Service"]["RestrictAddressFamilies"]

    def test_is_started_with_the_machine(self) -> None:
        assert UNIT["Install"]["WantedBy"] == "multi-user.target"


def test_blocks_are_of_known_kinds() -> None:
    assert {block.language for block in BLOCKS} == {"sh", "ini", "yaml", "sql", "dockerfile"}
    assert PAGE.count("```") == 2 * len(BLOCKS)


def test_places_linked_within_the_pages_exist() -> None:
    headings = re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= slugs


def test_readme_leads_here() -> None:
    assert "docs/operations.md" in links(read("README.md"))
