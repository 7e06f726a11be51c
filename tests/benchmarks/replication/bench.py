"""The replicated store: beside etcd, how soon another leads, and what many objects cost."""

from __future__ import annotations

import asyncio
import math
import os
import statistics
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from tests.benchmarks.replication.etcd import etcd_group, is_installed
from tests.benchmarks.replication.load import BATCH, WRITERS, Figures, Measured, measure
from tests.benchmarks.table import in_columns, ratio
from tests.chaos.group.group import Group, Member

ROUNDS = int(os.environ.get("ROUNDS", "3"))
TAKE_OVERS = int(os.environ.get("TAKE_OVERS", "20"))
OBJECTS, OBJECT_BYTES = 100_000, 500
FILL_S = 300.0


def bench_replication() -> None:
    """Print all of it."""
    asyncio.run(_beside_etcd())
    asyncio.run(_take_over())
    asyncio.run(_many_objects())


@asynccontextmanager
async def group_of_three(place: str) -> AsyncIterator[Group]:
    group = Group.of(Path(place))
    try:
        await group.start()
        await group.leader()
        yield group
    finally:
        await group.close()


async def _beside_etcd() -> None:
    """Both stores in turn, several times; the medians, and the ratios of what ran side by side."""
    ours: list[Measured] = []
    theirs: list[Measured] = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="bench-") as place:
            async with group_of_three(place) as group:
                leader = await group.leader()
                answer = await leader.ask("bench", answer="bench")
                ours.append(msgspec.convert(answer["bench"], Measured))
        if is_installed():
            with tempfile.TemporaryDirectory(prefix="bench-") as place:
                async with etcd_group(Path(place)) as store:
                    theirs.append(await measure(store))
    print("\nReplicated store, 3 members, every write synced by a majority, TLS between members")
    if not theirs:
        print("  (no etcd here to compare with: Debian's etcd-server)")
    rows = [["200 B each", "ours /s", "p50 ms", "p99 ms", "etcd /s", "p50 ms", "p99 ms", "rate", "p50"]]
    names = {"one_writer": "1 writer", "many_writers": f"{WRITERS} writers", "batches": f"batches of {BATCH}"}
    for field, name in names.items():
        mine, other = _median(ours, field), _median(theirs, field) if theirs else None
        row = [name, *_cells(mine)]
        if other is None:
            row += ["-"] * 5
        else:
            row += [*_cells(other), ratio(mine.per_second, other.per_second), ratio(mine.p50_ms, other.p50_ms)]
        rows.append(row)
    print(in_columns(rows))


def _median(all_of_them: list[Measured], field: str) -> Figures:
    figures: list[Figures] = [getattr(one, field) for one in all_of_them]
    return Figures(
        *(statistics.median(getattr(one, name) for one in figures) for name in ("per_second", "p50_ms", "p99_ms"))
    )


def _cells(figures: Figures) -> list[str]:
    return [f"{figures.per_second:,.0f}", f"{figures.p50_ms:.2f}", f"{figures.p99_ms:.2f}"]


async def _take_over() -> None:
    """kill -9 of the leader, at default settings, until another one has its claim committed."""
    took = []
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        async with group_of_three(place) as group:
            group.load(writers=4, clients=0)
            for _ in range(TAKE_OVERS):
                leader = await group.leader()
                others = [member for member in group.members if member is not leader]
                began = await leader.kill()
                following = await group.leader(others)
                took.append(next(line["at"] for line in reversed(following.lines) if "leads" in line) - began)
                await leader.start()
                await _caught_up(following, len(group.members))
    took.sort()
    p95 = took[math.ceil(0.95 * len(took)) - 1]
    print(
        f"\nTake-over after kill -9 of the leader, {len(took)} times: "
        f"median {statistics.median(took):.2f} s, p95 {p95:.2f} s, worst {took[-1]:.2f} s"
    )


async def _caught_up(leader: Member, members: int) -> None:
    """Wait until all members have what the leader has, nearly."""
    async with asyncio.timeout(FILL_S):
        while True:
            lines = (await leader.ask("members", answer="members"))["members"]
            if len(lines) == members and all(behind is not None and behind < 100 for _, _, behind in lines):
                return
            await asyncio.sleep(0.05)


async def _many_objects() -> None:
    """What a snapshot of many objects costs the event loop, how long a start takes with them, and the memory."""
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        async with group_of_three(place) as group:
            leader = await group.leader()
            await leader.ask("fill", OBJECTS, OBJECT_BYTES, answer="filled", within_s=FILL_S)
            stalled = await leader.ask("snapshot", f"{place}/backup", answer="snapshot_s", within_s=FILL_S)
            memory = (await leader.ask("memory", answer="memory"))["memory"]
            follower = next(member for member in group.members if member is not leader)
            await _caught_up(leader, len(group.members))
            await follower.kill()
            since = len(follower.lines)
            await follower.start()
            opened = next(line["opened_s"] for line in follower.lines[since:] if "opened_s" in line)
    print(
        f"\n{OBJECTS:,} objects of {OBJECT_BYTES} B: snapshot {stalled['snapshot_s']:.2f} s, "
        f"the loop stalled {stalled['stalled_s'] * 1_000:.0f} ms at worst (idle: {stalled['idle_s'] * 1_000:.0f} ms), "
        f"start {opened:.2f} s, {memory / 2**20:.0f} MiB resident"
    )
