"""Listening on a unix socket of this user's own, for whichever API is served there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SOCKET_MODE: Final = 0o600
BACKLOG: Final = 128
PROBE_S: Final = 2.0
"""Seconds that a listener has to take a connection; one that is too busy for that listens all the same."""
UNIX_PATH_BYTES_MAX: Final = 107
"""What Linux takes for the path of a unix socket (sun_path, less the final zero)."""


class SocketTaken(OSError):
    """Somebody listens there already."""


def fits(path: Path) -> bool:
    """Whether a path can be that of a socket: absolute, and short enough."""
    return path.is_absolute() and len(os.fsencode(path)) <= UNIX_PATH_BYTES_MAX


def listen(path: Path) -> socket.socket:
    """Return a listening socket at `path`, in the place of a dead one. Raises OSError, SocketTaken among them.

    Its folder is locked meanwhile, so that of two starters one wins.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        _clear(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(str(path))
            # Before listen(): until then nobody can connect, whatever the umask made of the mode.
            path.chmod(SOCKET_MODE)
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            raise
        return listening
    finally:
        os.close(folder)


@contextlib.contextmanager
def held(listening: socket.socket, path: Path) -> Iterator[None]:
    """Close the socket at the end of the block, and remove its file unless another has taken the place."""
    ours = path.lstat()
    try:
        yield
    finally:
        listening.close()
        with contextlib.suppress(FileNotFoundError):
            now = path.lstat()
            if (now.st_dev, now.st_ino) == (ours.st_dev, ours.st_ino):
                path.unlink()


def _clear(path: Path) -> None:
    """Remove a socket that nobody listens on; refuse anything else that is there."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(0, "something that is no socket is there already")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_S)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except TimeoutError:
            pass  # somebody listens, though too busy to answer
    raise SocketTaken(0, "another program listens there already")
