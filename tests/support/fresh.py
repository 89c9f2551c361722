"""A fresh virtual environment with the product's wheel in it, set up without a network."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from documents import ROOT


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel in it, and an empty home directory.

    Attributes:
        folder: all of it; nothing may be written outside.
        environment: of commands.
    """

    folder: Path
    environment: dict[str, str]

    @property
    def scripts(self) -> Path:
        return self.folder / "venv" / "bin"

    @property
    def elsewhere(self) -> Path:
        """The folder that commands are run in, away from the checkout."""
        return self.folder / "elsewhere"

    def run(self, command: str, *arguments: str, timeout: float = 60) -> str:
        done = self.tried(command, *arguments, timeout=timeout)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def tried(
        self, command: str, *arguments: str, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [shutil.which(command, path=self.environment["PATH"]) or command, *arguments],
            cwd=self.elsewhere,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


def build_wheel(folder: Path, project: Path = ROOT) -> Path:
    """Builds a project's wheel into the folder."""
    checked("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(project))
    (built,) = folder.glob("*.whl")
    return built


def build_sdist(folder: Path) -> Path:
    """Builds the product's source archive into the folder."""
    checked("-m", "build", "--sdist", "--no-isolation", "--outdir", str(folder), str(ROOT))
    (built,) = folder.glob("*.tar.gz")
    return built


def install(folder: Path, wheel: Path, *, with_pip: bool = False) -> Installed:
    """Makes the environment; this one's packages are lent to it, the checkout is not."""
    for name in ("home", "elsewhere", "data", "tmp"):
        (folder / name).mkdir()
    venv.create(folder / "venv", symlinks=True, with_pip=with_pip)
    python = folder / "venv" / "bin" / "python"
    pip = ("-m", "pip", "--disable-pip-version-check", "--quiet", "--python", str(python))
    checked(*pip, "install", "--no-index", "--no-deps", str(wheel))
    _lend_dependencies(python)
    environment = {
        "PATH": os.pathsep.join((str(python.parent), os.defpath)),
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "LANG": "C.UTF-8",
        "VERSEMILL_HOME": str(folder / "data"),
    }
    return Installed(folder, environment)


def checked(*arguments: str) -> None:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _lend_dependencies(python: Path) -> None:
    """Puts this environment's packages behind the new one's own.

    A `.pth` file that names a folder does not read the `.pth` files in it, so that an editable
    install of the checkout is not lent.
    """
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    purelib = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    lent = [p for p in (*site.getsitepackages(), site.getusersitepackages()) if Path(p).is_dir()]
    Path(purelib.stdout.strip(), "lent.pth").write_text("\n".join(lent) + "\n")
