"""Our replicated store as the loads see it: the callers are in the leader's process, as a controller or manager is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from reconciler.adapters.raft.ports import ReplicatedStore
from reconciler.model.commands import Applied, PutRecord

NAMESPACE = "bench"


class OurStore:
    """Puts as transactions of one or many commands."""

    def __init__(self, store: ReplicatedStore) -> None:
        self._store = store

    async def put(self, key: str, value: bytes) -> None:
        await self.put_all((key,), value)

    async def put_all(self, keys: Sequence[str], value: bytes) -> None:
        now = datetime.now(UTC)
        outcome = await self._store.propose(
            [PutRecord(at=now, namespace=NAMESPACE, key=key, value=value) for key in keys]
        )
        assert isinstance(outcome, Applied), outcome
