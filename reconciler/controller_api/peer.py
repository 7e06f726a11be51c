"""Who is at the other end of a unix socket, as the kernel says."""

from __future__ import annotations

import pwd
import socket
import struct
from typing import Final

_CREDENTIALS: Final = struct.Struct("iII")
"""pid, uid and gid. (unix(7), SO_PEERCRED)"""


def user_of(connection: socket.socket | None) -> str:
    """Return the user's name, "uid 1000" for one without a name, and "" where the kernel does not say."""
    if connection is None or connection.family != socket.AF_UNIX:
        return ""
    try:
        found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        return ""
    uid: int = _CREDENTIALS.unpack(found)[1]
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
