"""`plugins new` and `plugins check`; `acceptance/test_third_party.py` installs what they write."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def ran(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(str(p) for p in (folder / "site", folder / "my-one" / "src"))
    environment = {**os.environ, "VERSEMILL_HOME": str(folder / "home"), "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def install(folder: Path) -> None:
    """What an editable installation leaves: metadata on the path."""
    metadata = folder / "site" / "versemill_my_one-0.1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Name: versemill-my-one\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text("[versemill]\nmy-one = versemill_my_one\n")


@pytest.mark.parametrize("name", ["Loud", "../up", "json", "class", "lstm", ""])
def test_a_name_not_allowed_is_refused(tmp_path: Path, name: str) -> None:
    refused = ran(tmp_path, "versemill", "plugins", "new", "cell", name)
    assert refused.returncode == 1
    assert "NAME" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "home"])


def test_an_existing_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "my-one").mkdir()
    refused = ran(tmp_path, "versemill", "plugins", "new", "cell", "my-one")
    assert refused.returncode == 1
    assert "does not exist yet" in refused.stderr
    assert list((tmp_path / "my-one").iterdir()) == []


@pytest.mark.slow
def test_a_broken_plugin_fails_its_check(tmp_path: Path) -> None:
    ran(tmp_path, "versemill", "plugins", "new", "cell", "my-one")
    install(tmp_path)
    module = tmp_path / "my-one" / "src" / "versemill_my_one" / "cell.py"
    module.write_text(module.read_text().replace("(h,) = state", "h = state[0].detach()"))
    checked = ran(tmp_path, "versemill", "plugins", "check", "my-one")
    assert checked.returncode == 1
    assert "FAILED  The gradient flows back into the state" in checked.stdout
    assert checked.stdout.count("FAILED") == 1
    assert "mend: do not detach" in checked.stdout


def test_a_name_that_nothing_has_is_refused(tmp_path: Path) -> None:
    unknown = ran(tmp_path, "versemill", "plugins", "check", "nothing-has-this")
    assert unknown.returncode == 1
    assert "no plugin named 'nothing-has-this'" in unknown.stderr


@pytest.mark.slow
def test_all_built_ins_pass_and_a_corpus_without_its_file_is_told(tmp_path: Path) -> None:
    checked = ran(tmp_path, "versemill", "plugins", "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "unread  It can be read." in checked.stdout
    assert "cell lstm" in checked.stdout
    named = ran(tmp_path, "versemill", "plugins", "check", "jaychou")
    assert named.returncode == 1
    assert named.stdout.count("FAILED") == 1
