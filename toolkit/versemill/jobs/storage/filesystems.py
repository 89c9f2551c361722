"""Whether SQLite can be trusted with a folder: its locks fail on network file systems."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from versemill.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterable

_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afpfs", "afs", "ncpfs"}
    | {"webdav", "davfs", "sshfs", "s3fs", "glusterfs", "ceph", "lustre", "gpfs", "beegfs"}
    | {"orangefs", "pvfs2", "ocfs2", "gfs2", "vboxsf"}
)
_NETWORK_FUSE = frozenset(
    {"sshfs", "davfs2", "s3fs", "rclone", "glusterfs", "ceph", "smbnetfs", "gcsfuse"}
)


class Partition(Protocol):
    """A mounted file system, as psutil describes it."""

    mountpoint: str
    fstype: str
    opts: str


def network_filesystem(path: Path, partitions: Iterable[Partition] | None = None) -> str | None:
    """The type of the network file system that `path` is, or would be, on; None if it is local.

    Args:
        path: a file or folder, which need not exist.
        partitions: what is mounted; asked of the system by default.
    """
    if partitions is None:
        import psutil  # costs 20 ms, and only the first use of a database comes here

        partitions = psutil.disk_partitions(all=True)
    place = path.absolute().resolve()
    holder: Partition | None = None
    for partition in partitions:
        mounted = Path(partition.mountpoint)
        deepest = holder is None or len(mounted.parts) >= len(Path(holder.mountpoint).parts)
        if deepest and place.is_relative_to(mounted):
            holder = partition
    return holder.fstype if holder is not None and _is_network(holder) else None


def refuse_network_filesystem(path: Path, partitions: Iterable[Partition] | None = None) -> None:
    """Raises `DatabaseError` if `path` is on a network file system."""
    kind = network_filesystem(path, partitions)
    if kind is not None:
        raise DatabaseError(
            f"SQLite is not safe on a network file system, and {path} is on {kind}; "
            "set VERSEMILL_DATABASE_URL to a local file or a PostgreSQL server"
        )


def _is_network(partition: Partition) -> bool:
    kind = partition.fstype.lower()
    if kind == "9p":  # containers use it for local disks, WSL for the Windows drives
        return "drvfs" in partition.opts
    return kind in _NETWORK or kind.removeprefix("fuse.") in _NETWORK_FUSE
