"""What a member of a replicated group says of itself and of the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from reconciler.model.changes import Change
from reconciler.model.commands import ObjectChange


class Address(msgspec.Struct, frozen=True):
    """Where a member listens for the others. `host` is a name or an IP address without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def read(cls, text: str) -> Address | None:
        """Return HOST:PORT as an address, None where it is something else. An IPv6 address is in brackets there."""
        host, _, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            return None
        if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
            return None
        return cls(host, int(port))


class Member(msgspec.Struct, frozen=True):
    """One member as the asked node sees it.

    `behind` (entries) and `silent_s` (seconds since its last answered heartbeat; if there was none, since the asked
    node leads) are None unless the asked node leads.
    `refuses`: why the member can't use the snapshot that it needs, as itself and the leader know it; "" else.
    """

    id: str
    address: Address
    voter: bool
    leader: bool
    behind: int | None = None
    silent_s: float | None = None
    refuses: str = ""


class Standing(msgspec.Struct, frozen=True):
    """Who leads, as far as this node knows.

    `leader` is "" while unknown. `epoch` is the log index of this node's own Claim while it leads, 0 otherwise.
    `removed`: the others have told this node that it is a member no more.
    """

    leader: str
    term: int
    epoch: int = 0
    removed: bool = False


class Backup(msgspec.Struct, frozen=True):
    """A copy of all that a member has applied, as of the log's `index`, whose entry has `term`: a file of `size` bytes.

    `read` gives the next bytes of it, none at its end.
    """

    index: int
    size: int
    read: Callable[[], Awaitable[bytes]]
    term: int = 0


class Batch(msgspec.Struct, frozen=True):
    """What one entry of the log changed: at `index`, and all before it was told in earlier batches."""

    index: int
    changes: tuple[Change, ...]
    events: tuple[ObjectChange, ...] = ()
