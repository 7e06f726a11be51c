"""The connection to the cluster, opened when it is first needed and again after it could not be had."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from reconciler.controller.loop.fenced import FencedCluster
from reconciler.controller.loop.ports import Connect
from reconciler.controller.loop.pulse import Calls
from reconciler.controller.ports import Cluster


class ClusterLink:
    """One connection for all that a leader does. Writes through it are fenced by `may_write`."""

    def __init__(self, connect: Connect, may_write: Callable[[], bool], calls: Calls | None = None) -> None:
        self._connect = connect
        self._may_write = may_write
        self._calls = calls or Calls()
        self._opened: FencedCluster | None = None
        self._turn = asyncio.Lock()

    async def cluster(self) -> Cluster:
        """Return the cluster. Raises SwarmctlError when it can't be reached; the next call tries again."""
        async with self._turn:
            if self._opened is None:
                with self._calls.out():
                    cluster = await self._connect()
                self._opened = FencedCluster(cluster, self._may_write, self._calls)
            return self._opened

    async def close(self) -> None:
        """Let go of the connection."""
        if self._opened is not None:
            await self._opened.close()
            self._opened = None
