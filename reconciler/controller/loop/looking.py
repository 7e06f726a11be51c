"""Looks at one source beside its passes: a remote that is slow, or never answers, holds up none of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from reconciler.controller.loop.following import Following
from reconciler.controller.loop.wakeups import FETCHED, Wakeups
from reconciler.model.sources import SourceStatus

LOOK_PATIENCE_S: Final = 2.0
"""Seconds that a pass waits for a look that has just begun. Most end sooner, and then one pass does it all."""


@dataclass(slots=True)
class Looking:
    """Looks at a source, one after another, while `run` runs. Passes ask for looks, and take what was found.

    However often a look is asked for while one is under way, one more follows it.
    """

    following: Following
    wakeups: Wakeups
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _accept_rewrite: bool = False
    _known: SourceStatus | None = None
    """What the next look begins with."""
    _begun_s: float | None = None
    """When the look under way began, on the loop's clock; None while there is none."""
    _found: SourceStatus | None = None
    _failure: Exception | None = None
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _is_awaited: bool = False

    @property
    def is_under_way(self) -> bool:
        """Whether a look is under way, or asked for."""
        return self._begun_s is not None or self._wanted.is_set()

    @property
    def next_at(self) -> datetime | None:
        """When to look next; None while that wakes a pass by itself, as a look under way does."""
        return None if self.is_under_way else self.following.look_at

    def is_due(self, now: datetime) -> bool:
        """Return whether it is time to look, and nobody does yet."""
        return not self.is_under_way and self.following.is_due(now)

    def ask(self, status: SourceStatus, *, accept_rewrite: bool) -> None:
        """Let a look begin, once the one under way has ended. `status` is where the source stands."""
        if not self.is_under_way and self._found is None:
            self._known = status
        self._accept_rewrite |= accept_rewrite
        self._wanted.set()
        if self._begun_s is None:
            self._begun_s = asyncio.get_running_loop().time()
            self._ended.clear()

    async def found(self) -> SourceStatus | None:
        """Return where the source stands after the newest look; None where that is what was returned before.

        Waits for a look that has just begun. Raises what it failed by, which is a bug of ours.
        """
        if self._begun_s is not None and (left_s := self._begun_s + LOOK_PATIENCE_S - self._now_s()) > 0:
            self._is_awaited = True
            try:
                async with asyncio.timeout(left_s):
                    await self._ended.wait()
            except TimeoutError:
                pass
            finally:
                self._is_awaited = False
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        found, self._found = self._found, None
        return found

    async def run(self) -> None:
        """Look whenever that is asked for, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            accept_rewrite, self._accept_rewrite = self._accept_rewrite, False
            self._begun_s = self._now_s()
            self._ended.clear()
            assert self._known is not None
            try:
                self._found = self._known = await self.following.look(self._known, accept_rewrite=accept_rewrite)
            except Exception as error:  # noqa: BLE001 - the pass that takes it says so, and begins another
                self._failure = error
            finally:
                self._begun_s = None
            self._ended.set()
            if not self._is_awaited:
                self.wakeups.wake(FETCHED)

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()
