"""The replicated store without replication: applies each proposal at once, from the bytes of an entry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from reconciler.model.commands import Command, Outcome
from reconciler.model.replication import Batch
from reconciler.model.tables import Tables
from reconciler.model.transactions import Transaction
from reconciler.store.codec import encode_entry, encode_transaction
from reconciler.store.machine import State, apply


class MemoryStore:
    """Implements manager.ports.Store. Leads from the start, in epoch 0 (which no command is refused for)."""

    def __init__(self) -> None:
        self._state = State()
        self._sequence = 0
        self._batches: list[Batch] = []
        self._news = asyncio.Event()

    @property
    def tables(self) -> Tables:
        return self._state.tables

    async def propose(self, commands: Sequence[Command], *, epoch: int | None = None) -> Outcome:
        self._sequence += 1
        encoded = encode_transaction(Transaction("memory", self._sequence, tuple(commands), epoch))
        result = apply(self._state, self._state.index + 1, encode_entry([encoded]))
        if result.changes:
            self._batches.append(Batch(self._state.index, result.changes, result.events))
            self._news.set()
        return result.outcomes[0]

    async def watch(self, after: int) -> AsyncGenerator[Batch, None]:
        place = sum(batch.index <= after for batch in self._batches)
        while True:
            while place < len(self._batches):
                yield self._batches[place]
                place += 1
            self._news.clear()
            await self._news.wait()

    async def lead(self, work: Callable[[int], Awaitable[None]]) -> None:
        await work(0)
