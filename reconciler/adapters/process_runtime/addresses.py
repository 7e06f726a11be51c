"""Gives each task a loopback address of its own."""

from __future__ import annotations

import ipaddress
import os
import zlib

from reconciler.model.errors import ErrorCode, SwarmctlError

LOOPBACK_POOL = ipaddress.IPv4Network("127.64.0.0/10")
"""Linux takes all of 127.0.0.0/8 as its own without configuration. Every task of every node shares this part of it."""

_BLOCK = 256


class LoopbackAddresses:
    """Addresses in the order of the pool, so that a freed one is not given again soon.

    `seed` (the data folder) chooses where to begin: two swarms of one host then rarely meet.
    """

    def __init__(self, seed: str) -> None:
        blocks = LOOPBACK_POOL.num_addresses // _BLOCK
        self._next = (zlib.crc32(os.fsencode(seed)) % blocks) * _BLOCK
        self._taken: set[str] = set()

    def take(self) -> str:
        """Return an address that no live task has."""
        for _ in range(LOOPBACK_POOL.num_addresses):
            address = str(LOOPBACK_POOL[self._next])
            host = self._next % _BLOCK
            self._next = (self._next + 1) % LOOPBACK_POOL.num_addresses
            if 0 < host < _BLOCK - 1 and address not in self._taken:
                self._taken.add(address)
                return address
        raise SwarmctlError(ErrorCode.EMBEDDED_FAILED, f"All addresses of {LOOPBACK_POOL} are in use.")

    def hold(self, address: str) -> None:
        """Count an address as taken, by a task that a predecessor has started."""
        self._taken.add(address)

    def give_back(self, address: str) -> None:
        self._taken.discard(address)
