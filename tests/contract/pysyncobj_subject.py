"""The second implementation of the replicated store as a subject of the contract. It keeps all of it."""

from __future__ import annotations

from reconciler.adapters.raft.ports import ReplicatedStore
from reconciler.adapters.raft_pysyncobj.store import PySyncObjStore
from tests.contract.store_subject import CoreGroup


class PySyncObjGroup(CoreGroup):
    """Members on PySyncObj's core, in folders of the same kind, over the same network."""

    async def open(self, name: str) -> ReplicatedStore:
        return PySyncObjStore(self.settings(name), self.network.end(name))

    def first_index(self, name: str) -> int | None:
        store = self.stores[name]
        assert isinstance(store, PySyncObjStore)
        return store.status().first_index
