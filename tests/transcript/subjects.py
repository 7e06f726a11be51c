"""Where a scenario can be played: three machines in a swarm and a fourth in none, of ours or of real engines."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab.lab import Lab
from tests.transcript.lone import Machine
from tests.transcript.player import Player
from tests.transcript.stand_in import World, a_world


@dataclass(frozen=True)
class RealMachines:
    machines: tuple[Machine, ...]


@contextlib.asynccontextmanager
async def ours(folder: Path) -> AsyncIterator[World]:
    """Fresh machines of ours, of which the first three form a swarm."""
    async with a_world(folder, machines=4) as world:
        player = Player(folder)
        await _must(player, world, 1, "docker swarm init --advertise-addr 10.220.0.1")
        await _must(player, world, 1, "docker swarm join-token -q worker")
        for number in (2, 3):
            await _must(player, world, number, "docker swarm join --token {tok_w} 10.220.0.1:2377")
        yield world


async def _must(player: Player, world: World, number: int, command: str) -> None:
    status, _, err = await player.run(world, number, command)
    assert status == 0, f"{command}: {err}"


def of_lab(lab: Lab) -> RealMachines:
    """The engines of a lab, which form the same."""
    numbered = enumerate(lab.engines, start=1)
    return RealMachines(tuple(Machine(one, number) for number, one in numbered))
