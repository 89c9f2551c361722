"""`python -m benchmarks`: every measurement in turn, each in a process of its own.

    python -m benchmarks [NAME ...]

One at a time, so that none disturbs another. A benchmark is a module of this folder that runs by
itself: it prints what it measured and exits 0 if the target was met.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def main(wanted: list[str]) -> int:
    """Runs the benchmarks of the given names, or all; returns the exit code."""
    there = {path.stem: path for path in sorted(HERE.glob("*.py")) if is_benchmark(path)}
    unknown = sorted(set(wanted) - set(there))
    if unknown:
        print(
            f"no benchmark named {', '.join(unknown)}; known: {', '.join(there)}", file=sys.stderr
        )
        return 2
    results = [(name, *run(there[name])) for name in wanted or there]
    width = max(len(name) for name, *_ in results)
    print("\nbenchmark".ljust(width + 3) + "result   time")
    for name, passed, seconds in results:
        print(f"{name:<{width}}  {'PASS' if passed else 'FAIL':<6} {seconds:6.0f} s")
    return 0 if all(passed for _, passed, _ in results) else 1


def is_benchmark(path: Path) -> bool:
    """Whether it runs by itself; the others are what benchmarks share."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guarded = [node for node in tree.body if isinstance(node, ast.If)]
    return path.stem != "__main__" and any("__main__" in ast.unparse(g.test) for g in guarded)


def run(path: Path) -> tuple[bool, float]:
    """Whether it passed, and the seconds it took."""
    print(f"\n=== {path.stem}", flush=True)
    began = time.monotonic()
    code = subprocess.run([sys.executable, path], check=False).returncode
    return code == 0, time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
