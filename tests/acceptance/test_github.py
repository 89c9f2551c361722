"""What GitHub reads in `.github/`: it calls what is here, and asks for what there is."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import yaml

from documents import ROOT, links, read
from product import complaint

FORMS = ("bug", "feature")


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    loaded = yaml.safe_load(read(".github/workflows/ci.yml"))
    loaded["on"] = loaded.pop(True)  # YAML 1.1 takes the key for a truth value
    return loaded


def form(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load(read(f".github/ISSUE_TEMPLATE/{name}.yml")))


class TestWorkflow:
    def test_calls_what_ci_calls_with_the_interpreter_of_the_matrix(
        self, workflow: dict[str, Any]
    ) -> None:
        job = workflow["jobs"]["test"]
        assert job["steps"][-1]["run"] == ".ci/run"
        assert job["env"]["PYTHON"] == "python${{ matrix.python }}"
        assert (ROOT / ".ci/run").stat().st_mode & 0o111

    def test_covers_every_python_that_is_promised(self, workflow: dict[str, Any]) -> None:
        project = tomllib.loads(read("pyproject.toml"))["project"]
        promised = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
        tried = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
        assert set(promised) <= set(tried)
        assert project["requires-python"] == f">={tried[0]}"

    def test_other_jobs_are_targets_of_make(self, workflow: dict[str, Any]) -> None:
        targets = re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE)
        commands = [job["steps"][-1]["run"] for job in workflow["jobs"].values()]
        assert {c.removeprefix("make ") for c in commands if c.startswith("make ")} <= {*targets}

    def test_has_no_more_rights_than_it_needs(self, workflow: dict[str, Any]) -> None:
        assert workflow["permissions"] == {"contents": "read"}
        assert workflow["concurrency"]["cancel-in-progress"] is True
        assert set(workflow["on"]) == {"push", "pull_request"}
        for job in workflow["jobs"].values():
            assert "permissions" not in job
            assert job["timeout-minutes"] <= 60
            for step in job["steps"]:
                if "uses" in step:
                    assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])
                if step.get("uses", "").startswith("actions/checkout@"):
                    assert step["with"]["persist-credentials"] is False


class TestIssueForms:
    @pytest.mark.parametrize("name", FORMS)
    def test_is_a_form_that_github_takes(self, name: str) -> None:
        fields = [part for part in form(name)["body"] if part["type"] != "markdown"]
        assert {"name", "description", "body"} <= form(name).keys()
        assert len({field["id"] for field in fields}) == len(fields)
        assert all(field["type"] == "textarea" for field in fields)
        assert all(field["attributes"]["label"] for field in fields)
        assert any(field.get("validations", {}).get("required") for field in fields)

    def test_a_bug_comes_with_what_doctor_says(self) -> None:
        asked = [part for part in form("bug")["body"] if part.get("id") == "doctor"]
        assert asked[0]["validations"]["required"] is True
        assert "`versemill doctor --json`" in asked[0]["attributes"]["label"]

    @pytest.mark.parametrize("name", FORMS)
    def test_commands_are_the_products(self, name: str) -> None:
        text = read(f".github/ISSUE_TEMPLATE/{name}.yml")
        for command in re.findall(r"`versemill ([^`]+)`", text):
            assert complaint(command.split()) is None


def test_the_security_policy_says_how_to_report_and_leads_somewhere() -> None:
    policy = read("SECURITY.md")
    assert "Report a vulnerability" in policy
    assert re.findall(r"\S+@\S+", policy) == []  # no address that nobody reads
    assert [target for target in links(policy) if not (ROOT / target).exists()] == []
