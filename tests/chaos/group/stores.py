"""From a description that fits on a command line to a store that takes part, of either implementation."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from reconciler.adapters.peers.identity import PeersFile, read_identity
from reconciler.adapters.peers.names import PEERS_FILE
from reconciler.adapters.raft import boot
from reconciler.adapters.raft.hard_state import Owner
from reconciler.adapters.raft.node import RaftNode, open_node
from reconciler.adapters.raft.ports import ReplicatedStore
from reconciler.adapters.raft.settings import Limits, MemberSettings
from reconciler.adapters.raft.transport.transport import TlsTransport
from reconciler.consensus.settings import ConsensusSettings
from reconciler.model.replication import Address
from tests.fakes.identities import Authority


class Parts(msgspec.Struct, frozen=True):
    """What a member's process has to know.

    `addresses` are those of the members that found the group; of some members, when this one joins. `settings` may have
    "consensus" and "limits", each with fields of the settings of that name.
    """

    kind: str
    name: str
    folder: str
    identity: str
    notes: str
    addresses: dict[str, tuple[str, int]]
    joins: bool = False
    settings: dict[str, Any] = {}

    def encode(self) -> str:
        return msgspec.json.encode(self).decode()

    @classmethod
    def decode(cls, text: str) -> Parts:
        return msgspec.json.decode(text, type=cls)


def identity(authority: Authority, folder: Path, name: str, at: tuple[str, int]) -> Path:
    """Make one member's folder."""
    place = authority.folder(folder / f"identity-{name}", name, at[1])
    (place / PEERS_FILE).write_bytes(msgspec.json.encode(PeersFile(authority.cluster, name, *at)))
    return place


async def open_store(parts: Parts) -> ReplicatedStore:
    """Open the member; its log is made when its folder is not there."""
    node = read_identity(parts.identity, datetime.now(UTC))
    settings = MemberSettings(
        parts.folder,
        Owner(node.cluster, parts.name),
        consensus=ConsensusSettings(**parts.settings.get("consensus", {})),
        limits=Limits(**parts.settings.get("limits", {})),
        named={name: Address(*at) for name, at in parts.addresses.items()},
        address=node.listen,
    )
    if not Path(parts.folder).exists():  # noqa: ASYNC240 - nothing else runs yet
        addresses = {name: Address(*at) for name, at in parts.addresses.items()}
        if parts.joins:
            boot.join(settings, {name: at for name, at in addresses.items() if name != parts.name})
        else:
            boot.found(settings, addresses)
    opened: list[ReplicatedStore] = []

    def admits(other: str) -> bool:
        if not opened:
            return False
        if isinstance(opened[0], RaftNode):
            return opened[0].admits(other)
        return other == opened[0].standing.leader or not opened[0].members()

    def founding() -> str:
        return opened[0].founding() if opened and isinstance(opened[0], RaftNode) else ""

    transport = TlsTransport(node, admits=admits, founding=founding)
    if parts.kind == "core":
        opened.append(await open_node(settings, transport))
    else:
        from reconciler.adapters.raft_pysyncobj.store import PySyncObjStore

        opened.append(PySyncObjStore(settings, transport))
    return opened[0]
