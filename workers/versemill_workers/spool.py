"""The folder in which an attempt and its trainer hand each other files. Gone with the attempt."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path
    from types import TracebackType

    from versemill.jobs.leases import Claim

OUTPUT = "output.txt"
_OUTPUT_BYTES = 64 * 1024
_MARK = "-job-"


class Spool:
    """A folder of one attempt's own; made on entering the block, removed on leaving it."""

    def __init__(self, root: Path, claim: Claim) -> None:
        self.folder = root / f"{claim.worker_id}{_MARK}{claim.job_id}-{claim.attempt}"

    def __enter__(self) -> Spool:
        self.folder.mkdir(parents=True, mode=0o700)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def put(self, name: str, chunks: Iterable[bytes]) -> str:
        """Writes a file and returns its name."""
        with (self.folder / name).open("wb") as file:
            file.writelines(chunks)
        return name

    def output(self) -> str:
        """The end of what the trainer has printed."""
        try:
            with (self.folder / OUTPUT).open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - _OUTPUT_BYTES))
                return file.read().decode(errors="replace").replace("\0", "\ufffd")
        except FileNotFoundError:
            return ""


def remove_abandoned(root: Path, alive: Collection[str]) -> None:
    """Removes what workers that were killed have left; `alive` holds the ids of those that live."""
    if not root.is_dir():
        return
    for folder in root.iterdir():
        worker, mark, _ = folder.name.partition(_MARK)
        if mark and worker not in alive:
            shutil.rmtree(folder, ignore_errors=True)
