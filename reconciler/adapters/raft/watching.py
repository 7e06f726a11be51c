"""Changes for those who watch: a ring of the newest, from which each watcher reads at its own pace."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from itertools import islice

from reconciler.adapters.raft import answers
from reconciler.model.errors import SwarmctlError
from reconciler.model.replication import Batch


class Changes:
    """What the newest entries changed. A watcher that is slower than the ring is long is told so, and ends."""

    def __init__(self, entries_max: int, changes_max: int, index: int) -> None:
        """`index` is up to where the state is already: changes up to it were never seen here."""
        self._entries_max = entries_max
        self._changes_max = changes_max
        self._ring: deque[Batch] = deque()
        self._count = 0
        self._known_after = index
        self._added = 0
        self._dropped = 0
        self._news: asyncio.Future[None] | None = None
        self._ended: Callable[[], SwarmctlError] | None = None

    def add(self, batch: Batch) -> None:
        """The next entry that changed something."""
        self._ring.append(batch)
        self._count += len(batch.changes)
        self._added += 1
        while len(self._ring) > self._entries_max or (self._count > self._changes_max and len(self._ring) > 1):
            oldest = self._ring.popleft()
            self._count -= len(oldest.changes)
            self._dropped += 1
            self._known_after = oldest.index
        self._wake()

    def restart(self, index: int) -> None:
        """The state has become that of `index` at once, and nobody knows what changed on the way."""
        self._dropped = self._added = self._added + 1  # so that no place in the ring is one of before
        self._ring.clear()
        self._count = 0
        self._known_after = index
        self._wake()

    def end(self, error: Callable[[], SwarmctlError]) -> None:
        """Tell all watchers, once they have read what there is, that nothing follows."""
        self._ended = error
        self._wake()

    async def watch(self, after: int, applied: int) -> AsyncGenerator[Batch, None]:
        """What changed behind `after`; raises SwarmctlError (raft-watch-behind, raft-stopped, raft-removed)."""
        if not self._known_after <= after <= applied:
            raise answers.watch_behind(
                f"Changes after index {after} were asked for; those after {self._known_after} up to {applied} are here."
            )
        place = self._dropped + sum(1 for batch in self._ring if batch.index <= after)
        while True:
            if place < self._dropped:
                raise answers.watch_behind("The watcher was slower than the changes, or this member took a snapshot.")
            if place < self._added:
                batches = list(islice(self._ring, place - self._dropped, None))
                place = self._added
                for batch in batches:
                    yield batch
            elif self._ended is not None:
                raise self._ended()
            else:
                if self._news is None:
                    self._news = asyncio.get_running_loop().create_future()
                await asyncio.shield(self._news)  # others wait for the same

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set_result(None)
            self._news = None
