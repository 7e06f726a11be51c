"""What is done to a group under load. Each fault leaves it whole: started, connected, and going on."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.chaos.group.crashing import CALLS
from tests.chaos.group.group import Group, Member
from tests.chaos.group.images import Images
from tests.chaos.group.wires import Wires


@dataclass
class Scene:
    """A group under load, and what can be done to it."""

    group: Group
    chance: Random
    wires: Wires | None = None
    images: Images | None = None
    writers: int = 8
    value_bytes: int = 200

    async def again(self, member: Member) -> None:
        """Start a member that is down, with a load of its own."""
        await member.start()
        member.send("load", self.writers, self.value_bytes, 2)

    async def wait(self, low_s: float, high_s: float) -> None:
        await asyncio.sleep(self.chance.uniform(low_s, high_s))


Fault = Callable[[Scene], Awaitable[None]]


async def kill_leader(scene: Scene) -> None:
    leader = await scene.group.leader()
    await leader.kill()
    await scene.wait(0.0, 2.0)
    await scene.again(leader)


async def kill_some(scene: Scene) -> None:
    """One to all but one member, at nearly the same moment."""
    some = scene.chance.sample(scene.group.members, scene.chance.randint(1, len(scene.group.members) - 1))
    for member in some:
        await member.kill()
        await scene.wait(0.0, 0.05)
    await scene.wait(0.0, 1.0)
    for member in some:
        await scene.again(member)


async def kill_all(scene: Scene) -> None:
    await asyncio.gather(*(member.kill() for member in scene.group.members))
    await asyncio.gather(*(scene.again(member) for member in scene.group.members))


async def pause_leader(scene: Scene) -> None:
    """SIGSTOP it for longer than others wait, so that it wakes up as a leader that is none."""
    leader = await scene.group.leader()
    leader.signal(signal.SIGSTOP)
    await scene.wait(0.5, 4.0)
    leader.signal(signal.SIGCONT)


async def pause_all(scene: Scene) -> None:
    for member in scene.group.members:
        member.signal(signal.SIGSTOP)
    await scene.wait(0.2, 3.0)
    for member in scene.chance.sample(scene.group.members, len(scene.group.members)):
        member.signal(signal.SIGCONT)
        await scene.wait(0.0, 0.5)


async def isolate_leader(scene: Scene) -> None:
    assert scene.wires is not None
    leader = await scene.group.leader()
    scene.wires.isolate(leader.name)
    await scene.wait(0.3, 4.0)
    scene.wires.heal()


async def cut_some_links(scene: Scene) -> None:
    """A link or two, in one direction or both: a member may hear one that hears nobody."""
    assert scene.wires is not None
    for _ in range(scene.chance.randint(1, 2)):
        one, other = scene.chance.sample(scene.group.members, 2)
        scene.wires.cut(one.name, other.name, one_way=scene.chance.random() < 0.5)
    await scene.wait(0.3, 4.0)
    scene.wires.heal()


async def stop_in_order(scene: Scene) -> None:
    """The leader hands over and ends."""
    leader = await scene.group.leader()
    await leader.stop()
    await scene.wait(0.0, 0.5)
    await scene.again(leader)


async def cut_power_of_all(scene: Scene) -> None:
    """All at once: every member finds what was synced, and nothing else."""
    assert scene.images is not None
    for member in scene.group.members:
        member.signal(signal.SIGSTOP)
    for member in scene.group.members:
        await asyncio.to_thread(scene.images.copy, member.name)
    for member in scene.group.members:
        await member.kill()
        await asyncio.to_thread(scene.images.cut_power, member.name)
    for member in scene.group.members:
        await scene.again(member)


async def fill_disk_of_leader(scene: Scene) -> None:
    """No block is free: another member must take over; then there is space again."""
    assert scene.images is not None
    leader = await scene.group.leader()
    await asyncio.to_thread(scene.images.fill, leader.name)
    await scene.wait(3.0, 6.0)
    await asyncio.to_thread(scene.images.make_room, leader.name)
    await scene.group.leader([member for member in scene.group.members if member.alive])


async def fill_all_disks(scene: Scene) -> None:
    """Nothing can be acknowledged any more, until there is space again."""
    assert scene.images is not None
    for member in scene.group.members:
        await asyncio.to_thread(scene.images.fill, member.name)
    await scene.wait(2.0, 4.0)
    for member in scene.group.members:
        await asyncio.to_thread(scene.images.make_room, member.name)


def damage(how: str) -> Fault:
    """The journal of one member is cut, or a bit of it flipped, while it is down: it refuses, and is replaced."""

    async def fault(scene: Scene) -> None:
        member = scene.chance.choice(scene.group.members)
        await member.kill()
        await asyncio.to_thread(_damage, Path(member.parts.folder), how, scene.chance)
        told = await member.start()
        if "failed" not in told:
            # What was changed did not count. It goes on with all that it had, and the verdict will tell.
            member.send("load", scene.writers, scene.value_bytes, 2)
            return
        assert told["failed"] == "raft-log-corrupt", told
        await member.kill()
        await scene.group.replace(member)

    return fault


def _damage(folder: Path, how: str, chance: Random) -> None:
    path = max(folder.glob("journal-*"))
    content = bytearray(path.read_bytes())
    used = len(content.rstrip(b"\0"))
    if how == "cut":
        os.truncate(path, chance.randrange(used))
        return
    bit = chance.randrange(used * 8)
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def crash_point(name: str, number: int, *, after: bool, everywhere: bool) -> Fault:
    """One member, or all of them, die at the `number`-th call of `name` from some moment on."""

    async def fault(scene: Scene) -> None:
        members = scene.group.members if everywhere else [await scene.group.leader()]
        for member in members:
            member.send("crash", name, number, after)
        # The last of a majority has nobody left to work with, and may never come to that point.
        await asyncio.wait([asyncio.create_task(member.gone()) for member in members], timeout=CRASH_EACH_S)
        for member in members:
            await member.kill()
            await scene.again(member)

    return fault


CRASH_EACH_S = 4.0
"""By then a member has taken a snapshot or two, with SMALL_SNAPSHOTS."""

CRASH_POINTS: dict[str, Fault] = {
    f"{'after' if after else 'before'} {name} {number}{' on all' if everywhere else ''}": crash_point(
        name, number, after=after, everywhere=everywhere
    )
    for name in CALLS
    for number in (1, 2, 3)
    for after in (False, True)
    for everywhere in (False, True)
}

ANYWHERE: dict[str, Fault] = {
    "kill -9 of the leader": kill_leader,
    "kill -9 of some": kill_some,
    "kill -9 of all": kill_all,
    "SIGSTOP of the leader": pause_leader,
    "SIGSTOP of all": pause_all,
    "orderly stop of the leader": stop_in_order,
    "journal of one cut": damage("cut"),
    "journal of one with a flipped bit": damage("flip"),
}
NEED_WIRES: dict[str, Fault] = {
    "partition: the leader alone": isolate_leader,
    "partition: some links, one way or both": cut_some_links,
}
NEED_IMAGES: dict[str, Fault] = {
    "power cut of all": cut_power_of_all,
    "disk full at the leader": fill_disk_of_leader,
    "disk full everywhere": fill_all_disks,
}
EVERY: dict[str, Fault] = ANYWHERE | NEED_WIRES | NEED_IMAGES
