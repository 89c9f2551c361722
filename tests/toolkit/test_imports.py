"""What may not be imported for what: start-up time is a feature."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ["torch", "celery", "sqlalchemy", "redis"]


def loaded_by(code: str) -> list[str]:
    """Which heavy modules a fresh interpreter has loaded after `code`."""
    script = f"{code}\nimport sys\nprint(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_check_notices_a_heavy_import() -> None:
    assert loaded_by("import sqlalchemy") == ["sqlalchemy"]


@pytest.mark.parametrize(
    "code",
    [
        "import versemill",
        "import versemill.plugins.registry, versemill.config.recipes",
        "from versemill.plugins.registry import Registry; assert not Registry.discover().disabled",
        "from versemill.plugins.registry import Registry\n"
        "from versemill.plugins.resolution import resolve\n"
        "resolve({'recipe': 'classic', 'cell': 'gru'}, Registry.discover())",
        "from versemill.plugins.registry import Registry\n"
        "from versemill.plugins.resolution import resolve\n"
        "from versemill.plugins.selection import Selection\n"
        "from versemill.text.corpus import Text\n"
        "from versemill.training.feasibility import check\n"
        "registry = Registry.discover()\n"
        "check(Text(('ab' * 10**4,)), Selection(resolve({}, registry), registry))",
        "import io, sys\n"
        "from versemill.cli.error_reporting import perform\n"
        "kept, sys.stdout = sys.stdout, io.StringIO()\n"
        "assert perform(['plugins', 'list']) == 0\n"
        "assert 'gru' in sys.stdout.getvalue()\n"
        "sys.stdout = kept",
        "from versemill.plugins import NoOptions\n"
        "from versemill.plugins.registry import Registry\n"
        "Registry.discover().find('corpus', 'starter-zh').load()(NoOptions())",
    ],
    ids=[
        "package",
        "registry",
        "discover",
        "resolve",
        "feasibility",
        "plugins-list",
        "read-a-corpus",
    ],
)
def test_light_work_loads_nothing_heavy(code: str) -> None:
    assert loaded_by(code) == []
