"""End this process at a chosen call of the persistence path: the crash points that random kills rarely hit."""

from __future__ import annotations

import os
from typing import Any

from reconciler.adapters.raft.disk import Disk
from reconciler.adapters.raft.transport.transport import TlsTransport

DISK_CALLS = ("write", "sync", "sync_folder", "rename", "create", "unlink")
SEND = "send"
CALLS = (*DISK_CALLS, SEND)


def die_at(name: str, number: int, *, after: bool) -> None:
    """Be gone before, or right after, the `number`-th call of that name from now on."""
    owner: Any = TlsTransport if name == SEND else Disk
    call = getattr(owner, name)
    left = [number]

    def counted(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and not after:
            os._exit(137)
        result = call(*arguments)
        if left[0] == 0:
            os._exit(137)
        return result

    setattr(owner, name, counted)
