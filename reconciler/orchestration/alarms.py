"""When time alone makes something worth a look."""

from __future__ import annotations

from datetime import datetime
from heapq import heapify, heappop, heappush


class Alarms:
    """When each of some things is to be looked at again."""

    def __init__(self) -> None:
        self._at: dict[str, datetime] = {}
        self._queue: list[tuple[datetime, str]] = []

    def set(self, key: str, at: datetime | None) -> None:
        """Wake `key` at `at` and not before; None for never."""
        if self._at.get(key) == at:
            return
        if at is None:
            del self._at[key]
            return
        self._at[key] = at
        heappush(self._queue, (at, key))
        if len(self._queue) > 2 * len(self._at) + 64:
            self._queue = [(at, key) for key, at in self._at.items()]
            heapify(self._queue)

    def due(self, now: datetime) -> list[str]:
        """Return what is to be looked at, and forget it."""
        found: list[str] = []
        while (first := self.next()) is not None and first <= now:
            _, key = heappop(self._queue)
            del self._at[key]
            found.append(key)
        return found

    def next(self) -> datetime | None:
        """Return when the first one is due."""
        while self._queue:
            at, key = self._queue[0]
            if self._at.get(key) == at:
                return at
            heappop(self._queue)
        return None
