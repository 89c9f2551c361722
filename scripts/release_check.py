"""`make release-check`: whether what would be published can be installed and used.

Builds wheel and sdist into a temporary folder, looks at both, installs the wheel in a fresh
environment away from the checkout and runs the product there. Exit code 1 at the first failure.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
from fresh import build_sdist, build_wheel, install  # noqa: E402 - the tests install it likewise

_DEMO_SECONDS = 600


def main() -> int:
    """Every step, in order; the exit code."""
    with tempfile.TemporaryDirectory(prefix="versemill-release-") as name:
        folder = Path(name)
        try:
            _check(folder)
        except (AssertionError, subprocess.SubprocessError) as error:
            print(f"FAILED  {error}", file=sys.stderr)
            return 1
    print(f"versemill {version()} can be published")
    return 0


def version() -> str:
    """The version to publish, from the one place that says it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def _check(folder: Path) -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{version()}]" in changes, f"CHANGELOG.md has no section for {version()}"
    _done(f"CHANGELOG.md has a section for {version()}")

    wheel = build_wheel(folder / "wheel")
    sdist = build_sdist(folder / "sdist")
    _done(f"{wheel.name} and {sdist.name} are built")
    _twine_check(wheel, sdist)
    _done("twine check")

    difference = different_files(wheel, build_wheel(folder / "again", unpacked(sdist, folder)))
    assert not difference, f"the wheel built from the sdist differs: {'; '.join(difference)}"
    _done("the sdist gives the same wheel")

    (folder / "place").mkdir()
    installed = install(folder / "place", wheel)
    told = installed.run("versemill", "--version").strip()
    assert told == f"versemill {version()}", f"versemill --version prints {told!r}, not {version()}"
    _done(f"installed away from the checkout, it is {told}")
    installed.run("versemill", "demo", timeout=_DEMO_SECONDS)
    _done("versemill demo")


def _twine_check(*files: Path) -> None:
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"twine check: {done.stdout}{done.stderr}"


def unpacked(sdist: Path, folder: Path) -> Path:
    """The one folder in a source archive, unpacked into `folder`."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "source", filter="data")
    (project,) = (folder / "source").iterdir()
    return project


def different_files(wheel: Path, other: Path) -> list[str]:
    """What only one of two wheels has, or has with other content, in words."""
    one, two = ({f.filename: f.CRC for f in zipfile.ZipFile(w).infolist()} for w in (wheel, other))
    return [
        f"{name} is {'missing' if name not in two else 'new' if name not in one else 'changed'}"
        for name in sorted(one.keys() | two.keys())
        if one.get(name) != two.get(name)
    ]


def _done(step: str) -> None:
    print(f"ok      {step}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
