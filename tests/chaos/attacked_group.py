"""A group of three members over TLS in one process, which commits for as long as it lives, and says how it is.

    python -m tests.chaos.attacked_group FOLDER

FOLDER has an identity for each of NAMES. On standard output comes a line of JSON with the addresses, then one every
tenth of a second with what has been committed, the terms, and the open descriptors.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from reconciler.adapters.peers.identity import read_identity
from reconciler.adapters.raft import boot
from reconciler.adapters.raft.hard_state import Owner
from reconciler.adapters.raft.node import RaftNode, open_node
from reconciler.adapters.raft.settings import MemberSettings
from reconciler.adapters.raft.transport import TlsTransport, TransportSettings
from reconciler.consensus.settings import ConsensusSettings
from reconciler.model.commands import PutRecord
from reconciler.model.errors import SwarmctlError
from reconciler.model.replication import Address

NAMES = ("node-1", "node-2", "node-3")
REPORT_S = 0.1
QUICK = TransportSettings(handshake_timeout_s=1.0, frame_timeout_s=1.0, frame_rate_min=2**30)
"""As by default, but an attack that waits for a limit is over sooner."""

PATIENT = ConsensusSettings(election_min_s=3.0, election_max_s=4.0, fallback_s=2.5)
"""An attack may take all of a small machine for a moment. What it must not do is end a leadership by what it sends."""


GHOST = "ghost"
"""A member for the transport that never runs: what comes in its name meets no other connection."""


class Haunted(TlsTransport):
    """A transport that takes GHOST for a member."""

    def follow(self, members: Mapping[str, Address]) -> None:
        super().follow({**members, GHOST: Address("127.0.0.1", 1)})


def say(**values: object) -> None:
    print(json.dumps(values), flush=True)


async def start(folder: Path) -> list[RaftNode]:
    now = datetime.now(UTC)
    transports = {name: Haunted(read_identity(str(folder / name), now), QUICK) for name in NAMES}
    members = {name: await transport.bind() for name, transport in transports.items()}
    say(addresses={name: [address.host, address.port] for name, address in members.items()})
    nodes = []
    for name in NAMES:
        settings = MemberSettings(folder=str(folder / f"{name}.log"), owner=Owner("c1", name), consensus=PATIENT)
        boot.found(settings, members)
        nodes.append(await open_node(settings, transports[name]))
    return nodes


async def commit(node: RaftNode, committed: list[int]) -> None:
    number = 0
    while True:
        number += 1
        command = PutRecord(at=datetime.now(UTC), namespace="test", key=node.name, value=bytes(200), version=None)
        try:
            await node.propose([command])
            committed[0] += 1
        except SwarmctlError as error:
            logging.warning("a proposal failed: %s", error)
        await asyncio.sleep(0.002)


async def report(nodes: list[RaftNode], committed: list[int]) -> None:
    while True:
        await asyncio.sleep(REPORT_S)
        standings = [node.standing for node in nodes]
        say(
            committed=committed[0],
            terms=[standing.term for standing in standings],
            leaders=[standing.leader for standing in standings],
            descriptors=len(os.listdir("/proc/self/fd")),
        )


async def main(folder: Path) -> None:
    nodes = await start(folder)
    committed = [0]
    async with asyncio.TaskGroup() as group:
        for node in nodes:
            group.create_task(node.run())
            group.create_task(commit(node, committed))
        group.create_task(report(nodes, committed))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    asyncio.run(main(Path(sys.argv[1])))
