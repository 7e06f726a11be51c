"""What wakes a pass. Wake-ups only say that something may have moved: the pass reads the whole state."""

from __future__ import annotations

import asyncio
from typing import Final

SETTLE_S: Final = 0.2
"""Seconds in which further cluster events join the first: an update of a service sends several."""
FETCHED: Final = "fetched"
"""The cause of a pass whose look at the source has ended, after earlier passes had gone on without it."""
ENDED: Final = "applied"
"""The cause of a pass that writes down what came of an apply."""
AT_ONCE: Final = frozenset({"webhook", "sync", "files", "start", FETCHED, ENDED})
"""Causes that wait for no others: somebody looks at a clock."""


class Wakeups:
    """Collects causes until the loop takes them; the same cause counts once, however often it comes."""

    def __init__(self) -> None:
        self._causes: dict[str, None] = {}
        self._woken = asyncio.Event()

    def wake(self, cause: str) -> None:
        """Let the next pass begin, or the one after it if one is under way."""
        self._causes[cause] = None
        self._woken.set()

    async def next(self, wait_s: float, timed_out: str = "interval") -> tuple[str, ...]:
        """Return what woke the loop, in order, or `timed_out` after `wait_s` seconds without anything."""
        try:
            async with asyncio.timeout(max(wait_s, 0.0)):
                await self._woken.wait()
        except TimeoutError:
            return (timed_out,)
        if not AT_ONCE & self._causes.keys():
            await asyncio.sleep(SETTLE_S)
        self._woken.clear()
        causes, self._causes = tuple(self._causes), {}
        return causes
