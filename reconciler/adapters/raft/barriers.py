"""Readers that wait until all that was acknowledged before is applied here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from reconciler.adapters.raft import answers
from reconciler.consensus.core import Core
from reconciler.consensus.outputs import ReadDone, Refused
from reconciler.model.errors import SwarmctlError

_Reader = tuple[asyncio.Future[int], float]


class Barriers:
    """All that come during one turn of the event loop share a question; the core lets questions share rounds."""

    def __init__(self, readers_max: int) -> None:
        self._readers_max = readers_max
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Reader] = []
        self._asked: dict[int, list[_Reader]] = {}
        self._token = 0
        self._count = 0

    def add(self, due_s: float) -> asyncio.Future[int]:
        """Take a reader. Raises SwarmctlError (raft-overloaded)."""
        if self._count >= self._readers_max:
            raise answers.overloaded("readers wait")
        future: asyncio.Future[int] = self._loop.create_future()
        self._waiting.append((future, due_s))
        self._count += 1
        return future

    def ask(self, core: Core, now_s: float) -> None:
        """Ask the core for all that wait; if it can't be asked, they go on waiting."""
        if not self._waiting:
            return
        self._token += 1
        if not isinstance(core.read(self._token, now_s), Refused):
            self._asked[self._token], self._waiting = self._waiting, []

    def done(self, read: ReadDone) -> None:
        """Let readers go, or ask again when no leader has confirmed."""
        readers = self._asked.pop(read.token, [])
        if read.index == 0:
            self._waiting += readers
            return
        self._count -= len(readers)
        for future, _ in readers:
            if not future.done():
                future.set_result(read.index)

    def sweep(self, now_s: float, no_leader: Callable[[], SwarmctlError]) -> None:
        """End the readers that have waited for too long."""
        if self._count == 0:
            return
        self._waiting = self._without_overdue(self._waiting, now_s, no_leader)
        for token, readers in list(self._asked.items()):
            self._asked[token] = self._without_overdue(readers, now_s, no_leader)
            # An empty question stays until its ReadDone comes.

    def fail(self, error: Callable[[], SwarmctlError]) -> None:
        """End everything: this member takes part no more."""
        self.sweep(float("inf"), error)
        self._asked.clear()

    def _without_overdue(
        self, readers: list[_Reader], now_s: float, error: Callable[[], SwarmctlError]
    ) -> list[_Reader]:
        kept: list[_Reader] = []
        for future, due_s in readers:
            if not future.done() and now_s < due_s:
                kept.append((future, due_s))
                continue
            self._count -= 1
            if not future.done():
                future.set_exception(error())
        return kept
