"""Accepted connections that have not shown yet who they are: few in all, and few from one address."""

from __future__ import annotations

import ipaddress

from reconciler.adapters.raft.transport.connection import Connection


def source_of(host: str) -> str:
    """What counts as one source: an IPv4 address, or an IPv6 network of 64 bits, of which anybody has a whole one."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


class Pending:
    """Where there is no room, the oldest gives way: a member shows who it is within moments, and an attacker that
    only occupies places would otherwise keep members out."""

    def __init__(self, in_all: int, per_source: int) -> None:
        self._in_all = in_all
        self._per_source = per_source
        self._sources: dict[Connection, str] = {}

    def __len__(self) -> int:
        return len(self._sources)

    def enter(self, connection: Connection, source: str) -> Connection | None:
        """Add a connection; return the one that has to go for it."""
        same = [other for other, found in self._sources.items() if found == source]
        leaving = None
        if len(same) >= self._per_source:
            leaving = same[0]
        elif len(self._sources) >= self._in_all:
            leaving = self._oldest_of_greatest()
        if leaving is not None:
            del self._sources[leaving]
        self._sources[connection] = source
        return leaving

    def leave(self, connection: Connection) -> None:
        """A connection has shown who it is, or is gone."""
        self._sources.pop(connection, None)

    def all(self) -> tuple[Connection, ...]:
        """All of them, the oldest first."""
        return tuple(self._sources)

    def _oldest_of_greatest(self) -> Connection:
        counts: dict[str, int] = {}
        for source in self._sources.values():
            counts[source] = counts.get(source, 0) + 1
        greatest = max(counts, key=lambda source: counts[source])
        return next(connection for connection, source in self._sources.items() if source == greatest)
