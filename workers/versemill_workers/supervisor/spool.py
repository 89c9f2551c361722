"""Where an attempt has its files: a spool folder, gone with it; a tracking folder, which stays."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from versemill.errors import VersemillError
from versemill.files import make_private_folder, private_opener, safe_component

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType

    from versemill.jobs.execution.worker_api import Claim

OUTPUT = "output.txt"
_OUTPUT_BYTES = 64 * 1024
_MARK = "-job-"
_LOCK = ".lock"


class Spool:
    """A folder of one attempt's own; made on entering the block, removed on leaving it."""

    def __init__(self, root: Path, claim: Claim) -> None:
        self.folder = root / safe_component(
            f"{claim.worker_id}{_MARK}{claim.job_id}-{claim.attempt}"
        )

    def __enter__(self) -> Spool:
        make_private_folder(self.folder.parent)
        self.folder.mkdir(mode=0o700)
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
        with open(self.folder / name, "wb", opener=private_opener) as file:
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


def tracking_folder(root: Path, claim: Claim) -> Path:
    """The job's own folder for its trackers: number and name, as far as a file name can be.

    Whoever can write to the database can give a job any name; none leads out of `root`.
    """
    return root / safe_component(f"{claim.job_id}-{claim.job_name}")


@contextmanager
def spool_lock(root: Path, worker_id: str) -> Iterator[None]:
    """Lets `remove_abandoned` know, while the block lasts, that this worker process is there.

    By a file lock, which the system gives up when the process ends, however it ends, and not
    before: a worker that is frozen still has its files.

    Raises:
        VersemillError: the folder cannot be used.
    """
    path = root / f"{worker_id}{_LOCK}"
    try:
        make_private_folder(root)
        file = _locked(path)
    except OSError as error:
        raise VersemillError(
            f"{root} cannot be used for files of running jobs ({error.strerror}); "
            "set VERSEMILL_HOME to a folder that you can write"
        ) from None
    with file:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink()


def _locked(path: Path) -> BinaryIO:
    """The file, made and locked; again if somebody cleared it up before it was locked."""
    while True:
        file = open(path, "wb", opener=private_opener)  # noqa: SIM115 - to be closed
        fcntl.flock(file, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file
        file.close()


def remove_abandoned(root: Path) -> None:
    """Removes what workers that were killed have left on this machine."""
    left = {path.name.removesuffix(_LOCK).partition(_MARK)[0] for path in root.glob("*")}
    for worker_id in left:
        lock = root / f"{worker_id}{_LOCK}"
        with contextlib.suppress(OSError), lock.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while that worker is there
            for folder in root.glob(f"{worker_id}{_MARK}*"):
                shutil.rmtree(folder, ignore_errors=True)
            lock.unlink()
