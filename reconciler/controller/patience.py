"""How long an apply bears with an endpoint that fails or stays silent, before that is the result.

An engine that restarts is away for some seconds, and managers that elect a leader for 10 to 13 s; while a manager is
promoted, single requests may hang for 20 s before they fail. An engine that answers 5xx to one request may answer the
next. Whoever retries a write must first look whether it was carried out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from reconciler.model.errors import ErrorCode, SwarmctlError

Answer = TypeVar("Answer")

AWAY_MAX_S = 60.0
"""Seconds for which one call is tried again while nobody answers it."""

FAILURES_MAX = 4
"""Times that one call is tried again though the engine answered: with a 5xx, which some engines use for refusals."""

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 2.0
"""The pause before trying again doubles from the first to the last of these."""

STARTING = frozenset({ErrorCode.NOT_IN_A_SWARM, ErrorCode.NOT_A_MANAGER})
"""An engine that has just started says for a moment that it is in no swarm; nobody applies to such a one."""

AWAY = STARTING | {ErrorCode.ENGINE_UNREACHABLE, ErrorCode.SWARM_UNAVAILABLE}


def may_pass(error: SwarmctlError) -> bool:
    """Return whether a call that failed so may succeed later; a write may have gone through all the same."""
    return error.passing or error.code in STARTING


@dataclass(slots=True)
class Tries:
    """One call's failures so far. `since_s` is when it failed first, by the event loop's clock."""

    failures: int = 0
    since_s: float | None = None


class Patience:
    """Shared by all calls of one apply: once the endpoint has been away for too long, no further call waits for it."""

    def __init__(self) -> None:
        self.gone: SwarmctlError | None = None
        """Why the endpoint was given up."""
        self._heard_s = asyncio.get_running_loop().time()

    def heard(self) -> None:
        """Note that the endpoint has answered as it should."""
        self._heard_s = asyncio.get_running_loop().time()
        self.gone = None

    async def bear(self, error: SwarmctlError, tries: Tries) -> None:
        """Pause before the call may be tried again; raise `error` where that is of no use, or no use any more."""
        away = error.code in AWAY
        if away and not may_pass(error):
            self.gone = error  # locked, for one: it stays so until somebody does something about it
        if self.gone is not None or not may_pass(error):
            raise error
        now_s = asyncio.get_running_loop().time()
        tries.since_s = now_s if tries.since_s is None else tries.since_s
        tries.failures += 1
        if away and now_s - tries.since_s >= AWAY_MAX_S:
            if now_s - self._heard_s >= AWAY_MAX_S:
                self.gone = error
            raise error
        if not away and tries.failures > FAILURES_MAX:
            raise error
        exponent = min(tries.failures - 1, 10)
        await asyncio.sleep(min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2**exponent))

    async def read(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return what a call that changes nothing answers; it is tried again within the limits."""
        tries = Tries()
        while True:
            try:
                answer = await call()
            except SwarmctlError as error:
                await self.bear(error, tries)
            else:
                self.heard()
                return answer
