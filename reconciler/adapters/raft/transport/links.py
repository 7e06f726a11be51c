"""Which connection carries the frames for each member, when there may be two of them."""

from __future__ import annotations

from reconciler.adapters.raft.transport.connection import Connection

TWINS_S = 3.0
"""Two members that dial each other at the same moment have two connections within this time."""


def newer_wins(own: str, new: Connection, old: Connection, now_s: float) -> bool:
    """Whether a new connection with a member takes the place of the old one.

    A member dials only while it has no connection: so the old one is gone for it, whatever we still believe. The
    exception is when both dialled at once. Both then keep the one that the member with the smaller name has dialled, or
    each would close what the other keeps.
    """
    if new.dialled == old.dialled or now_s - old.opened_s > TWINS_S:
        return True
    dialler = own if new.dialled else new.node
    return dialler == min(own, new.node)


class Links:
    """The connection in use for each member. Frames come from that one only, so that they keep their order."""

    def __init__(self, own: str) -> None:
        self._own = own
        self._in_use: dict[str, Connection] = {}

    def __len__(self) -> int:
        return len(self._in_use)

    def get(self, node: str) -> Connection | None:
        """The connection in use."""
        return self._in_use.get(node)

    def all(self) -> tuple[Connection, ...]:
        """All connections in use."""
        return tuple(self._in_use.values())

    def would_take(self, connection: Connection, now_s: float) -> bool:
        """Whether `take` would be right."""
        old = self._in_use.get(connection.node)
        return old is None or newer_wins(self._own, connection, old, now_s)

    def take(self, connection: Connection) -> None:
        """Use a connection from now on; the one before it is closed."""
        old = self._in_use.get(connection.node)
        self._in_use[connection.node] = connection
        if old is not None:
            old.retire()

    def drop(self, connection: Connection) -> bool:
        """A connection has ended; return whether it was in use."""
        if self._in_use.get(connection.node) is not connection:
            return False
        del self._in_use[connection.node]
        return True
