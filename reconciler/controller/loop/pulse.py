"""Whether this controller's engine answers at all: asked of each member of a group, whoever leads.

An engine that hangs keeps connections open, and a call to it fails only after a minute. So beside the calls it is asked
for no more than a sign of life, over a connection of its own and with a deadline of its own: a loaded engine, whose
answers take long, gives that at once. Who gets none notes it in the replicated store, so that a leader gives way to no
one who is as blind as itself, and takes the note away once its engine answers again.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import structlog

from reconciler.controller.loop.state_records import Memory
from reconciler.model.errors import SwarmctlError

log = structlog.stdlib.get_logger(__name__)

Answers = Callable[[float], Awaitable[bool]]
"""Returns whether the engine has answered anything within so many seconds, over a new connection. It never raises."""

PULSE_S: Final = 15.0
"""Seconds between asks while nothing is wrong. An answer to any other call stands for one."""
SLOW_CALL_S: Final = 5.0
"""Seconds after which a call that is not answered has the engine asked at once."""
DEADLINE_S: Final = 4.0
"""Seconds that an engine has to answer one ask."""
AGAIN_S: Final = 1.0
"""Seconds between asks of an engine that is silent."""
SILENT_ASKS: Final = 3
SILENT_S: Final = 12.0
"""An engine counts as silent after so many asks in a row without an answer, and so many seconds since the first began;
nothing else was answered meanwhile. One that restarts is away for less."""
_LOOK_S: Final = 0.5
"""Seconds between looks at the calls that are out."""


@dataclass(slots=True)
class Calls:
    """The calls to the cluster that are not answered yet. `answered_s` is when the last one was, well or not."""

    answered_s: float = -math.inf
    _began_s: dict[object, float] = field(default_factory=dict)

    @contextmanager
    def out(self) -> Iterator[None]:
        """Count what is done inside as one call."""
        call = object()
        self._began_s[call] = asyncio.get_running_loop().time()
        is_given_up = False
        try:
            yield
        except SwarmctlError as error:
            is_given_up = error.passing  # by a deadline, perhaps: nobody has answered then
            raise
        except asyncio.CancelledError:
            is_given_up = True
            raise
        finally:
            del self._began_s[call]
            if not is_given_up:
                self.answered_s = asyncio.get_running_loop().time()

    def oldest_s(self) -> float:
        """Return for how many seconds the oldest of them has been out; 0 when there is none."""
        now_s = asyncio.get_running_loop().time()
        return max((now_s - began_s for began_s in self._began_s.values()), default=0.0)


@dataclass(slots=True)
class Pulse:
    """Asks one engine for signs of life. `lost` is called after each ask that confirms that it gives none."""

    member: str
    memory: Memory
    calls: Calls
    answers: Answers
    lost: Callable[[], None]
    is_lost: bool = False
    """Whether the engine counts as silent."""
    _silent: int = 0
    """Asks in a row without an answer."""
    _since_s: float = 0.0
    """When the first of them began, on the loop's clock."""

    async def run(self) -> None:
        """Ask for signs of life until cancelled."""
        while True:
            await self._due()
            asked_s = asyncio.get_running_loop().time()
            if await self._is_alive(asked_s):
                self._found_alive()
            else:
                self._found_silent(asked_s)
            await self._note()
            if self.is_lost:
                self.lost()

    async def _is_alive(self, asked_s: float) -> bool:
        if asked_s - self.calls.answered_s < SLOW_CALL_S:
            return True
        return await self.answers(DEADLINE_S) or self.calls.answered_s >= asked_s

    async def _due(self) -> None:
        """Wait until it is time to ask."""
        if self._silent:
            await asyncio.sleep(AGAIN_S)
            return
        loop = asyncio.get_running_loop()
        asked_s = loop.time()
        await asyncio.sleep(min(SLOW_CALL_S, PULSE_S))  # an answer that is slow is no reason to ask all the time
        while loop.time() < asked_s + PULSE_S and self.calls.oldest_s() < SLOW_CALL_S:  # noqa: ASYNC110 - no event
            await asyncio.sleep(_LOOK_S)

    def _found_alive(self) -> None:
        if self.is_lost:
            log.info("engine answers again", member=self.member)
        self._silent, self.is_lost = 0, False

    def _found_silent(self, asked_s: float) -> None:
        self._since_s = self._since_s if self._silent else asked_s
        self._silent += 1
        silent_s = asyncio.get_running_loop().time() - self._since_s
        if self.is_lost or self._silent < SILENT_ASKS or silent_s < SILENT_S:
            return
        self.is_lost = True
        log.warning("engine is silent", member=self.member, asks=self._silent, seconds=round(silent_s, 1))

    async def _note(self) -> None:
        """Write down what others are to know. What can't be written is written after a later ask."""
        if self.is_lost == (self.member in self.memory.blind()):
            return
        try:
            await self.memory.note_blind(self.member, is_blind=self.is_lost)
        except SwarmctlError as error:
            log.info("not noted whether the engine answers", member=self.member, code=error.code.value)
