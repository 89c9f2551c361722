"""docs/errors.md is what `make docs` would write."""

from __future__ import annotations

import subprocess
import sys

from documents import ROOT


def test_the_page_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "error_reference.py"), "--check"]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0, "run `make docs`"
