"""`python -m drill`: runs a drill and says what it has found; exit code 0 if nothing was lost."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from drill.campaign import Campaign
from drill.findings import examine, report
from drill.stacks import opened
from processes import reset_signals

STACKS = ("sqlite", "servers")


def main() -> int:
    """Reads the options; the exit code."""
    parser = argparse.ArgumentParser(prog="drill", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="of faults")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--stack", choices=STACKS, help="both, one after the other, if not given")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="keep logs and files in any case")
    options = parser.parse_args()
    reset_signals()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: everything is ended
    stacks = [options.stack] if options.stack else STACKS
    passed = [
        drill(
            name,
            seconds=options.minutes * 60,
            seed=options.seed,
            members=options.workers,
            keep=options.keep,
        )
        for name in stacks
    ]
    return 0 if all(passed) else 1


def drill(name: str, *, seconds: float, seed: int, members: int, keep: bool) -> bool:
    """One drill on throw-away servers; whether it passed. What was left stays if it did not."""
    folder = Path(tempfile.mkdtemp(prefix="versemill-drill-"))
    began = time.monotonic()
    with opened(name, folder) as stack:
        _say(
            f"drill on {stack.versions}: {members} workers × 2 slots, seed {seed}, {seconds:.0f} s"
        )
        campaign = Campaign(stack, folder, seed=seed, members=members, show=_say)
        try:
            undisturbed = campaign.run(seconds)
            found = examine(campaign, undisturbed)
        finally:
            campaign.close()
        for line in report(campaign, found, seconds=seconds):
            _say(line)
    _say(f"{'PASSED' if found.passed else 'FAILED'} in {time.monotonic() - began:.0f} s")
    if found.passed and not keep:
        shutil.rmtree(folder)
    else:
        _say(f"logs and files are in {folder}")
    return found.passed


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
