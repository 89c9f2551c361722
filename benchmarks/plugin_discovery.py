"""Discovery of plugins: 50 installed distributions, and `versemill plugins list` with them.

    python benchmarks/plugin_discovery.py [--plugins 50] [--runs 9]

The distributions lie in a temporary folder on Python's path, each with a module that registers a
cell. `Registry.discover()` in a fresh process, its imports done, is to take at most 0.3 s of wall
time with what is installed here besides; `versemill plugins list` 0.5 s, without torch. Medians;
the first run of each fills the caches.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from installation import environment
from start_up import imports_torch, timed

DISCOVERY, LISTING = 0.3, 0.5
MODULE = """
from versemill.plugins.hookspecs import hookimpl

@hookimpl
def versemill_register_cells(register):
    register("{name}", ":Cell", summary="one of many")
"""
DISCOVER = """
import time
from versemill.plugins.registry import Registry
began = time.perf_counter()
registry = Registry.discover()
took = time.perf_counter() - began
assert not registry.disabled, registry.disabled
print(took, sum(r.summary == "one of many" for r in registry.all()))
"""


def main() -> int:
    """Measures, prints, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plugins", type=int, default=50)
    parser.add_argument("--runs", type=int, default=9, help="of each, at least 5")
    options = parser.parse_args()
    runs = max(5, options.runs)
    with tempfile.TemporaryDirectory(prefix="versemill-benchmark-") as folder:
        site = Path(folder) / "site"
        for number in range(options.plugins):
            install(site, f"plugin_{number}")
        env = environment(Path(folder)) | {"PYTHONPATH": str(site)}
        versemill = str(Path(sys.executable).with_name("versemill"))
        command = [versemill, "plugins", "list"]
        discoveries = [discover(env, options.plugins) for _ in range(runs + 1)]
        listings = [timed(command, env)[0] for _ in range(runs + 1)]
        torch = imports_torch(command, env)
    print(f"{options.plugins} installed plugins, median of {runs} runs")
    met = [
        report("Registry.discover()", discoveries, DISCOVERY),
        report("versemill plugins list", listings, LISTING),
    ]
    print(f"  torch imported: {'yes' if torch else 'no'}")
    return 0 if all(met) and not torch else 1


def install(site: Path, name: str) -> None:
    """A distribution as a package installer leaves it."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"{name}.py").write_text(MODULE.format(name=name))
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n\n{'A long description. ' * 200}\n"
    )
    (info / "entry_points.txt").write_text(f"[versemill]\nmain = {name}\n")


def discover(env: dict[str, str], expected: int) -> float:
    """Seconds of one discovery in a process of its own."""
    command = [sys.executable, "-c", DISCOVER]
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    took, found = done.stdout.split()
    assert int(found) == expected, f"{found} plugins found"
    return float(took)


def report(name: str, times: list[float], target: float) -> bool:
    """Prints a median beside its target; whether that was met."""
    median = statistics.median(times[1:])
    met = median <= target
    print(f"  {name:<23} {median:.3f} s   target {target} s: {'met' if met else 'MISSED'}")
    return met


if __name__ == "__main__":
    sys.exit(main())
