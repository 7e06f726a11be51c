"""One trial: a new group under load, some faults, then the verdict."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.chaos.group.faults import Fault, Scene
from tests.chaos.group.group import Group, Verdict
from tests.chaos.group.images import Images
from tests.chaos.group.wires import Wires

NAMES = ("a", "b", "c")
WARM_UP_S = 0.5
SMALL_SNAPSHOTS = {"limits": {"snapshot_bytes": 1_000_000, "kept_bytes": 200_000}}
"""So that every trial takes many snapshots, and members that were away need one."""


@dataclass(frozen=True)
class Load:
    """`writers` in each member, and `steady_s` seconds more of them after each fault."""

    writers: int = 8
    steady_s: float = 0.0


GENTLE = Load()


def why_no_wires() -> str | None:
    """Why no network can be made here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [program for program in ("ip", "nsenter", "unshare") if shutil.which(program) is None]
    return f"network namespaces need {', '.join(missing)}" if missing else None


async def trial(
    folder: Path,
    faults: Sequence[Fault],
    seed: int,
    *,
    kind: str = "core",
    wires: bool = False,
    images: bool = False,
    settings: Mapping[str, Any] = SMALL_SNAPSHOTS,
    load: Load = GENTLE,
) -> Verdict:
    """Run the faults one after the other, a moment apart, and hold what is left against what was acknowledged."""
    folder.mkdir(parents=True)  # noqa: ASYNC240 - nothing else runs yet
    async with AsyncExitStack() as stack:
        network = stack.enter_context(Wires(folder, NAMES)) if wires else None
        disks = stack.enter_context(Images(folder, NAMES)) if images else None
        hosts = network.hosts if network else None
        places = {name: disks.at(name) for name in NAMES} if disks else None
        group = Group.of(folder, NAMES, kind, settings, hosts, places)
        stack.push_async_callback(group.close)
        scene = Scene(group, Random(seed), network, disks, load.writers)
        await group.start()
        await group.leader()
        group.load(load.writers, scene.value_bytes)
        await asyncio.sleep(WARM_UP_S)
        try:
            for fault in faults:
                await fault(scene)
                await scene.wait(0.2 + load.steady_s, 1.5 + load.steady_s)
            await group.quiet()
            return await group.verdict()
        except TimeoutError as error:
            raise AssertionError(f"it took too long\n{group.describe()}") from error
    raise AssertionError("the stack swallows nothing")
