"""The product as a user has it: real commands in a place of their own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest


@pytest.fixture
def newcomer(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has configured nothing, with a home of their own."""
    home = tmp_path / "home"
    home.mkdir()
    return {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.defpath)),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        # Several threads per process starve one another where tests run side by side.
        "OMP_NUM_THREADS": "1",
        "VERSEMILL_HOME": str(tmp_path / "data"),
    }
