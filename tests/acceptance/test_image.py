"""The Dockerfile, read instruction by instruction: nothing here can build it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

from documents import ROOT, read
from product import VARIABLES, complaint, unknown_variables

PROJECT = tomllib.loads(read("pyproject.toml"))
CONTEXT = {line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")}


def _instructions() -> list[tuple[str, str]]:
    lines = [line for line in read("Dockerfile").splitlines() if not line.startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [
        (name, rest) for name, _, rest in (row.partition(" ") for row in text.split("\n") if row)
    ]


INSTRUCTIONS = _instructions()


def _all(name: str) -> list[str]:
    return [rest for instruction, rest in INSTRUCTIONS if instruction == name]


def _copied() -> list[str]:
    """Sources of what is copied from the checkout."""
    return [
        source
        for rest in _all("COPY")
        if not rest.startswith("--from=")
        for source in rest.split()[:-1]
    ]


def _place(instruction: str, pattern: str) -> int:
    (place,) = (
        i for i, (name, rest) in enumerate(INSTRUCTIONS) if name == instruction and pattern in rest
    )
    return place


def test_every_instruction_is_one_docker_knows() -> None:
    known = {"FROM", "ENV", "WORKDIR", "RUN", "COPY", "ARG", "USER", "VOLUME", "ENTRYPOINT", "CMD"}
    assert {name for name, _ in INSTRUCTIONS} == known


def test_both_stages_have_the_same_python_which_is_one_of_ours() -> None:
    bases = {rest.split()[0] for rest in _all("FROM")}
    (version,) = (re.fullmatch(r"python:(3\.\d+)-slim-\w+", base) for base in bases)
    assert version is not None, bases
    assert f"Programming Language :: Python :: {version[1]}" in PROJECT["project"]["classifiers"]


class TestContext:
    def test_what_is_copied_is_there_and_not_ignored(self) -> None:
        assert [source for source in _copied() if not (ROOT / source).exists()] == []
        assert set(_copied()) == CONTEXT

    def test_is_enough_to_build_the_wheel(self, tmp_path: Path) -> None:
        for source in _copied():
            copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copyfile
            copy(ROOT / source, tmp_path / source)
        built = subprocess.run(
            [sys.executable, "-m", "build", "--wheel", "--no-isolation", str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert built.returncode == 0, built.stdout + built.stderr
        (wheel,) = (tmp_path / "dist").glob("*.whl")
        packages = {name.split("/")[0] for name in ZipFile(wheel).namelist()}
        wanted = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
        assert {Path(package).name for package in wanted} <= packages


class TestLayers:
    def test_what_changes_most_comes_last(self) -> None:
        places = [
            _place("COPY", "constraints.txt"),
            _place("RUN", " torch"),
            _place("COPY", "pyproject.toml"),
            _place("RUN", "requirements.txt"),
            _place("COPY", "toolkit"),
            _place("RUN", "--no-deps ."),
        ]
        assert places == sorted(places)

    def test_everything_is_installed_in_the_tested_versions(self) -> None:
        (environment, _) = _all("ENV")
        assert "PIP_CONSTRAINT=/build/constraints.txt" in environment
        assert "/build" in _all("WORKDIR")

    def test_dependencies_are_those_of_the_project(self) -> None:
        (command,) = (rest for rest in _all("RUN") if "tomllib" in rest)
        words = shlex.split(command)
        code = words[words.index("-c") + 1]
        listed = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert listed.stdout.splitlines() == PROJECT["project"]["dependencies"]

    def test_torch_comes_from_where_compose_says(self) -> None:
        (argument,) = _all("ARG")
        name, _, default = argument.partition("=")
        services = yaml.safe_load(read("docker-compose.yml"))["services"]
        built = {key: s["build"]["args"] for key, s in services.items() if "build" in s}
        assert [list(arguments) for arguments in built.values()] == [[name]] * 3
        assert built["worker"][name] == built["migrate"][name] == default
        assert default == "https://download.pytorch.org/whl/cpu"
        assert built["worker-gpu"][name] == "https://pypi.org/simple"


class TestRunning:
    def test_the_command_is_ours_and_gets_the_signals(self) -> None:
        (entrypoint,) = map(json.loads, _all("ENTRYPOINT"))  # JSON: no shell in between
        (arguments,) = map(json.loads, _all("CMD"))
        assert entrypoint == ["versemill"]
        assert entrypoint[0] in PROJECT["project"]["scripts"]
        assert arguments == ["--help"]

    def test_runs_without_rights(self) -> None:
        assert _all("USER") == ["versemill"]
        assert _place("USER", "versemill") < _place("ENTRYPOINT", "versemill")

    def test_its_data_is_on_a_volume_that_belongs_to_its_user(self) -> None:
        (volume,) = _all("VOLUME")
        assert f"VERSEMILL_HOME={volume}" in _all("ENV")[1]
        (made,) = (rest for rest in _all("RUN") if "useradd" in rest)
        assert f"--create-home --home-dir {volume} " in made

    def test_every_variable_of_ours_is_read_by_the_product(self) -> None:
        assert unknown_variables(read("Dockerfile")) == set()
        assert "VERSEMILL_HOME" in VARIABLES

    @pytest.mark.parametrize("name", ["ARG", "ENV"])
    def test_no_secret_is_built_in(self, name: str) -> None:
        assert not re.search(r"password|secret|token|_URL=\w+://[^ ]*@", "".join(_all(name)), re.I)


def test_warnings_are_printed() -> None:
    """What the other files here and `test_operations` lean on."""
    assert complaint(["db", "upgrade"]) is None
    assert complaint(["worker", "--slots", "2"]) is None
    assert "no command 'sing'" in str(complaint(["sing"]))
    assert "no command 'sing'" in str(complaint(["db", "sing"]))
    assert "--slotts" in str(complaint(["worker", "--slotts", "2"]))
    assert "0" in str(complaint(["worker", "--slots", "0"]))
    assert "JOB" in str(complaint(["checkpoints", "export"]))
