"""Controllers that the leader sees unable to take over its snapshot: written down, and told to people."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from reconciler.controller.loop.ports import Store
from reconciler.controller.loop.state_records import Memory
from reconciler.gitops.laggards import look
from reconciler.model.errors import SwarmctlError

log = structlog.stdlib.get_logger(__name__)

LOOK_S: Final = 2.0
"""Seconds between looks. A look is at what the member of the store knows anyway."""


async def watch_laggards(store: Store, memory: Memory, epoch: int) -> None:
    """Look until cancelled. What can't be written is found again at the next look."""
    while True:
        known = memory.laggards()
        now = look(known, store.members(), store.tables.index, memory.now())
        if now.found != known:
            try:
                await memory.note_laggards(now, epoch)
            except SwarmctlError as error:
                log.warning("laggards not noted", code=error.code.value)
        await asyncio.sleep(LOOK_S)
