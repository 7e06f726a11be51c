"""What the durable log refuses, in the words that an operator reads."""

from __future__ import annotations

import errno

from reconciler.adapters.raft.disk import DurabilityUnknown
from reconciler.model.errors import ErrorCode, SwarmctlError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_REPLACE = (
    "While a majority of the managers works: remove this one, empty its folder, and let it join again under a new id. "
    "Otherwise restore a backup of a snapshot. Check the disk first."
)


def corrupt(what: str, why: str) -> SwarmctlError:
    """The log can't be what was written."""
    return SwarmctlError(ErrorCode.RAFT_LOG_CORRUPT, what, why=why, hint=_REPLACE)


def snapshot_corrupt(path: str, why: str) -> SwarmctlError:
    """A snapshot file can't be what was written."""
    return SwarmctlError(
        ErrorCode.RAFT_SNAPSHOT_CORRUPT,
        f"The snapshot {path} is damaged or not whole.",
        why=why,
        hint="For a backup: use another one. For a manager's own snapshot: " + _REPLACE,
    )


def too_new(path: str) -> SwarmctlError:
    """A newer version wrote the file. It is as good as ever, for that version."""
    return SwarmctlError(
        ErrorCode.RAFT_TOO_NEW,
        f"{path} was made by a newer version of swarmctl.",
        why="This version does not know its format. It has changed nothing.",
        hint="Install the version that wrote it, or a newer one. `swarmctl store backup` asks a running controller of "
        "that version for a copy.",
    )


def foreign(folder: str, why: str) -> SwarmctlError:
    """The folder is another node's, or another cluster's."""
    return SwarmctlError(
        ErrorCode.RAFT_LOG_FOREIGN,
        f"{folder} holds the replicated log of somebody else.",
        why=why,
        hint="Name this manager's own folder, or an empty one for a manager that is new.",
    )


def locked(folder: str) -> SwarmctlError:
    """Another process has the folder."""
    return SwarmctlError(
        ErrorCode.RAFT_LOG_LOCKED,
        f"{folder} is in use.",
        why="Another process holds its lock; two of them would break the log.",
        hint="End the other manager, or name another folder.",
    )


def missing(folder: str) -> SwarmctlError:
    """There is no log, and none may be made."""
    return SwarmctlError(
        ErrorCode.RAFT_LOG_MISSING,
        f"{folder} holds no replicated log.",
        why="This manager is not new: it would forget what it promised to the others.",
        hint="Mount the right disk. If the log is lost, remove this manager and let it join again under a new id. If "
        "all of a group have lost theirs, begin a new one (`swarmctl peers init`), with a backup if there is one.",
    )


def of_disk(folder: str, error: OSError | DurabilityUnknown) -> SwarmctlError:
    """An error of the disk as an operator reads it: full, or failed."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return disk_full(folder, error)
    return disk_failed(folder, error)


def disk_full(folder: str, error: OSError) -> SwarmctlError:
    """There is no space; the same call may be made again."""
    return SwarmctlError(
        ErrorCode.RAFT_DISK_FULL,
        f"The disk of {folder} is full.",
        why=f"{error.strerror}. Nothing of what was being written has been acknowledged, and nothing is lost.",
        hint="Make space; it then goes on by itself.",
        passing=True,
    )


def disk_failed(folder: str, error: BaseException) -> SwarmctlError:
    """A write or sync failed in a way after which only reading everything again tells what is there."""
    if isinstance(error, OSError) and error.errno in _NOT_ALLOWED:
        return SwarmctlError(
            ErrorCode.RAFT_DISK_FAILED,
            f"{error.filename or folder} can't be used.",
            why=f"{error.strerror}. The replicated log is of the user who runs the manager, and of nobody else.",
            hint=f"Run this as that user. What another one has left there, root for example: `chown -R USER {folder}`.",
        )
    return SwarmctlError(
        ErrorCode.RAFT_DISK_FAILED,
        f"The disk of {folder} failed while the replicated log was being written.",
        why=f"{error}.",
        hint="Check the disk (`dmesg`), then start this manager again; it sees then what was kept.",
    )
