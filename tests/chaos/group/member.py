"""One member of a group as a process: `python -m tests.chaos.group.member PARTS` (JSON), commands on stdin.

Each command is a line of JSON, ["name", ...]; each answer, and each change of its standing, one on stdout. Every line
has "at", this machine's monotonic clock. The process ends when stdin does.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, cast

import msgspec

from reconciler.adapters.raft.changing import ChangingMember
from reconciler.adapters.raft.node import RaftNode
from reconciler.adapters.raft.ports import ReplicatedStore
from reconciler.model.errors import SwarmctlError
from reconciler.model.replication import Address
from tests.benchmarks.replication.load import measure
from tests.benchmarks.replication.ours import OurStore
from tests.chaos.group.crashing import die_at
from tests.chaos.group.ledger import NAMESPACE
from tests.chaos.group.stores import Parts, open_store
from tests.chaos.group.worker import use_registers, write_on

STANDING_POLL_S = 0.02
TICK_S = 0.001
FILL_BATCH = 1_000


def tell(**line: Any) -> None:
    sys.stdout.write(json.dumps({"at": time.monotonic(), **line}) + "\n")
    sys.stdout.flush()


class Program:
    """Runs the store, and what the commands ask for beside it."""

    def __init__(self, store: ReplicatedStore, name: str, folder: Path) -> None:
        self._store = store
        self._name = name
        self._life = time.monotonic_ns()
        self._folder = folder
        self._load: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(self._serve())
            watching = group.create_task(self._tell_standing())
            leading = group.create_task(self._store.lead(self._lead))
            await self._obey(group)
            for task in (*self._load, leading, watching, serving):
                task.cancel()

    async def _serve(self) -> None:
        try:
            await self._store.run()
        except SwarmctlError as error:
            tell(failed=error.code.value, why=str(error))
        else:
            tell(ended=True)

    async def _lead(self, epoch: int) -> None:
        tell(leads=epoch)
        try:
            await asyncio.Event().wait()
        finally:
            tell(led=epoch)

    async def _tell_standing(self) -> None:
        told = None
        while True:
            if (standing := self._store.standing) != told:
                told = standing
                tell(leader=standing.leader, term=standing.term, epoch=standing.epoch, removed=standing.removed)
            await asyncio.sleep(STANDING_POLL_S)

    async def _obey(self, group: asyncio.TaskGroup) -> None:
        reader = asyncio.StreamReader(limit=1 << 20)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        tell(ready=True)
        while line := await reader.readline():
            name, *arguments = json.loads(line)
            try:
                await getattr(self, f"_do_{name}")(group, *arguments)
            except SwarmctlError as error:
                tell(refused=error.code.value, why=str(error))

    async def _do_load(self, group: asyncio.TaskGroup, writers: int, size: int, pairs: int) -> None:
        """Start writers, and clients that use the shared registers."""
        ledgers, histories = self._folder / "ledgers", self._folder / "histories"
        for number in range(writers):
            worker = f"{self._name}-{self._life}-{number}"
            self._load.append(group.create_task(write_on(self._store, worker, ledgers, size)))
        for number in range(pairs):
            client = f"{self._name}-{self._life}-{number}"
            self._load.append(group.create_task(use_registers(self._store, client, histories, 3, 0.05)))

    async def _do_quiet(self, _: asyncio.TaskGroup) -> None:
        """End the load."""
        for task in self._load:
            task.cancel()
        await asyncio.gather(*self._load, return_exceptions=True)
        self._load.clear()
        tell(quiet=True)

    async def _do_dump(self, _: asyncio.TaskGroup, path: str) -> None:
        """Write the records down once all that was acknowledged is here, with a digest that equal states share."""
        await self._store.read_barrier()
        tables = self._store.tables
        index, epoch = tables.index, tables.leadership.epoch
        records = {
            record.key: record.value.decode() for record in tables.records.values() if record.namespace == NAMESPACE
        }
        rows = repr([(record.id, record.version, record.value) for record in tables.records.values()])
        await asyncio.to_thread(Path(path).write_text, json.dumps(records))
        await asyncio.to_thread(Path(f"{path}.rows").write_text, rows)
        tell(dumped=index, epoch=epoch, digest=hashlib.sha256(rows.encode()).hexdigest())

    async def _do_bench(self, _: asyncio.TaskGroup) -> None:
        """Measure how fast it writes, called from within this process."""
        tell(bench=msgspec.to_builtins(await measure(OurStore(self._store))))

    async def _do_fill(self, _: asyncio.TaskGroup, objects: int, size: int) -> None:
        """Write so many objects."""
        store = OurStore(self._store)
        for first in range(0, objects, FILL_BATCH):
            await store.put_all([f"object-{number}" for number in range(first, first + FILL_BATCH)], os.urandom(size))
        tell(filled=objects)

    async def _do_snapshot(self, _: asyncio.TaskGroup, path: str) -> None:
        """Take a snapshot; measure how long the loop stalls meanwhile, and how long while nothing happens."""
        assert isinstance(self._store, RaftNode)
        idle = await self._stall_during(asyncio.sleep(1.0))
        began = time.monotonic()
        stalled = await self._stall_during(self._store.back_up(path))
        tell(snapshot_s=time.monotonic() - began, stalled_s=stalled, idle_s=idle)

    async def _stall_during(self, work: Coroutine[Any, Any, object]) -> float:
        """How late the loop is at worst until `work` is done, in seconds."""
        worst, task = 0.0, asyncio.ensure_future(work)
        while not task.done():
            due = time.monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            worst = max(worst, time.monotonic() - due)
        await task
        return worst

    async def _do_memory(self, _: asyncio.TaskGroup) -> None:
        """Tell the resident bytes."""
        status = await asyncio.to_thread(Path("/proc/self/status").read_text)
        kilobytes = next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]
        tell(memory=int(kilobytes) * 1024)

    async def _do_crash(self, _: asyncio.TaskGroup, name: str, number: int, after: bool) -> None:
        """End at a call of the persistence path."""
        die_at(name, number, after=after)

    async def _do_add(self, _: asyncio.TaskGroup, member: str, host: str, port: int) -> None:
        await self._store.add_member(member, Address(host, port))
        tell(changed=member)

    async def _do_remove(self, _: asyncio.TaskGroup, member: str) -> None:
        await self._store.remove_member(member)
        tell(changed=member)

    async def _do_members(self, _: asyncio.TaskGroup) -> None:
        """Tell who takes part, and whether a change of that is still to be committed."""
        members = [[one.id, one.voter, one.behind] for one in self._store.members()]
        tell(members=members, pending=cast(ChangingMember, self._store).status().members_pending)


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    gc.set_threshold(50_000, 20, 100)
    parts = Parts.decode(sys.argv[1])
    asyncio.run(_run(parts))


async def _run(parts: Parts) -> None:
    began = time.monotonic()
    try:
        store = await open_store(parts)
    except SwarmctlError as error:
        tell(failed=error.code.value, why=str(error))
        return
    tell(opened_s=time.monotonic() - began)
    await Program(store, parts.name, Path(parts.notes)).run()


if __name__ == "__main__":
    main()
