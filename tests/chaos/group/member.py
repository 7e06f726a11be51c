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
import sys
import time
from pathlib import Path
from typing import Any

from reconciler.adapters.raft.ports import ReplicatedStore
from reconciler.model.errors import SwarmctlError
from reconciler.model.replication import Address
from tests.chaos.group.crashing import die_at
from tests.chaos.group.ledger import NAMESPACE
from tests.chaos.group.stores import Parts, open_store
from tests.chaos.group.worker import use_registers, write_on

STANDING_POLL_S = 0.002


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

    async def _do_crash(self, _: asyncio.TaskGroup, name: str, number: int, after: bool) -> None:
        """End at a call of the persistence path."""
        die_at(name, number, after=after)

    async def _do_add(self, _: asyncio.TaskGroup, member: str, host: str, port: int) -> None:
        await self._store.add_member(member, Address(host, port))
        tell(added=member)

    async def _do_remove(self, _: asyncio.TaskGroup, member: str) -> None:
        await self._store.remove_member(member)
        tell(removed_member=member)

    async def _do_members(self, _: asyncio.TaskGroup) -> None:
        tell(members=[[one.id, one.voter, one.behind] for one in self._store.members()])

    async def _do_stall(self, _: asyncio.TaskGroup, seconds: float) -> None:
        """Measure for so long how late the loop is, at worst."""
        worst, end = 0.0, time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            await asyncio.sleep(0.001)
            worst = max(worst, time.monotonic() - now - 0.001)
        tell(stalled_s=worst)


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    gc.set_threshold(50_000, 20, 100)
    parts = Parts.decode(sys.argv[1])
    asyncio.run(_run(parts))


async def _run(parts: Parts) -> None:
    try:
        store = await open_store(parts)
    except SwarmctlError as error:
        tell(failed=error.code.value, why=str(error))
        return
    await Program(store, parts.name, Path(parts.notes)).run()


if __name__ == "__main__":
    main()
