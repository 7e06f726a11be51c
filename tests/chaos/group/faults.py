"""What is done to a group under load. Each fault leaves it whole: started, connected, and going on."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from tests.chaos.group.group import Group, Member
from tests.chaos.group.wires import Wires


@dataclass
class Scene:
    """A group under load, and what can be done to it."""

    group: Group
    chance: Random
    wires: Wires | None = None
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


ANYWHERE: dict[str, Fault] = {
    "kill -9 of the leader": kill_leader,
    "kill -9 of some": kill_some,
    "kill -9 of all": kill_all,
    "SIGSTOP of the leader": pause_leader,
    "SIGSTOP of all": pause_all,
    "orderly stop of the leader": stop_in_order,
}
NEED_WIRES: dict[str, Fault] = {
    "partition: the leader alone": isolate_leader,
    "partition: some links, one way or both": cut_some_links,
}
EVERY: dict[str, Fault] = ANYWHERE | NEED_WIRES
