"""Whether the kernel has ended a process because memory ran out: it keeps a counter of them."""

from __future__ import annotations

from pathlib import Path

_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")
_MACHINE = Path("/proc/vmstat")


def kernel_kills(
    *, groups: Path = _CONTROL_GROUPS, own_group: Path = _OWN_GROUP, machine: Path = _MACHINE
) -> int:
    """How many processes the kernel has ended so far for want of memory.

    Counted in this process's control group, or in the whole machine where that is not to be had;
    0 where neither is, as on macOS.
    """
    for counters in (*_own_groups(groups, own_group), machine):
        found = _counter(counters)
        if found is not None:
            return found
    return 0


def _own_groups(groups: Path, own_group: Path) -> list[Path]:
    """Where a process's own counters may be: by its path, or at the root inside a container."""
    try:
        lines = own_group.read_text().splitlines()
    except OSError:
        return []
    paths = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    return [groups / path / "memory.events" for path in (*paths, "")]


def _counter(path: Path) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.isdigit():
            return int(value)
    return None
