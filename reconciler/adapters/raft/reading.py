"""What entries say, read while others still work on them: a leader waits for their disks anyway."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.consensus.values import Entry, EntryKind
from reconciler.store.machine import Said, read

_READ_MAX = 8
"""More than a leader has under way."""


class ReadAhead:
    """Reads entries that are not yet committed, and has what they say at hand when they are."""

    def __init__(self) -> None:
        self._said: dict[int, tuple[bytes, Said]] = {}

    def read(self, entries: Iterable[Entry]) -> None:
        """Read entries of the log; another may come in their place."""
        for entry in entries:
            if entry.kind is EntryKind.NORMAL:
                if len(self._said) >= _READ_MAX:
                    self._said.clear()  # of a time when this member led, and never applied
                self._said[entry.index] = entry.data, read(entry.data)

    def take(self, entry: Entry) -> Said | None:
        """Return what an entry says that is being applied; None if this very one was not read."""
        data, said = self._said.pop(entry.index, (None, None))
        return said if data is entry.data else None
