"""What TOML from anybody may cost."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

from versemill.config import bounded_toml
from versemill.config.bounded_toml import DEEPEST, MOST_BYTES, MOST_PARTS, BoundError, parsed

DOTTED = ".".join("a" * (MOST_PARTS + 1))
BOMBS = [
    f"{DOTTED} = 1",
    f"x = 1\n[{DOTTED}]",
    f"[[{DOTTED}]]",
    " . ".join(['"a"', "'b'"] * MOST_PARTS) + " = 1",
    f"x = {{{DOTTED} = 1}}",
    "x = " + "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1),
    "x = [\n" * 1 + "[ # ]\n" * DEEPEST,
    "x = " + "{x=" * (DEEPEST + 1) + "1" + "}" * (DEEPEST + 1),
    "#" * (MOST_BYTES + 1),
]


@pytest.mark.parametrize("bomb", BOMBS, ids=range(len(BOMBS)))
def test_what_is_too_large_or_deep_is_refused_before_it_is_parsed(
    monkeypatch: pytest.MonkeyPatch, bomb: str
) -> None:
    monkeypatch.setattr(bounded_toml.tomllib, "loads", lambda _: pytest.fail("it was parsed"))
    with pytest.raises(BoundError, match="more than"):
        parsed(bomb)


@pytest.mark.parametrize(
    "text",
    [
        f"{'.'.join('a' * MOST_PARTS)} = 1",
        "x = " + "[" * DEEPEST + "]" * DEEPEST,
        f"x = \"{DOTTED}\"\ny = '{DOTTED}' # {DOTTED}",
        f'x = """\n{DOTTED} "" \\""" {DOTTED}\n""""" # {DOTTED}',
        f"x = '''\n{DOTTED} '' {DOTTED}\n'''''",
        "x = [" + "1.5, " * 1000 + "]",
        'x = ["' + "[" * 100 + '", """' + "[" * 100 + '""", \'' + "[" * 100 + "']",
        "x = [1,\n2]\n" + "".join(f"[t{number}]\ny = [[{number}]]\n" for number in range(100)),
        'a."b.c".d = 1979-05-27T07:32:00.999999-07:00',
        "",
    ],
)
def test_what_people_write_is_parsed(text: str) -> None:
    assert parsed(text) == tomllib.loads(text)


@pytest.mark.parametrize("text", ['x = "', "x = '''", 'x = """\\', "a.b..c = 1", "x = ]", "x"])
def test_what_is_no_toml_is_told_by_the_parser(text: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError):
        parsed(text)


@pytest.mark.parametrize("bomb", ["'.'.join('a' * 50_000) + '=1'", "'x=' + '[' * 400_000"])
def test_a_bomb_takes_no_memory(bomb: str) -> None:
    code = (
        "import resource; from versemill.config.bounded_toml import parsed\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))\n"
        f"try: parsed({bomb})\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "more than 16" in done.stdout
