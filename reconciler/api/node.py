"""The node that answers, as requests need it: the manager's swarm, or why there is none."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractAsyncContextManager

from reconciler.api import faults
from reconciler.api.faults import Refused
from reconciler.api.ports import Cluster, LocalNode, LocalState, Standing
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject
from reconciler.model.objects import Kind, NodeRole
from reconciler.model.replication import Backup
from reconciler.model.tables import DEFAULT_ADDRESS_POOL

_WITHOUT = {
    LocalState.INACTIVE: faults.NOT_IN_A_SWARM,
    LocalState.PENDING: faults.NOT_PREPARED,
    LocalState.ERROR: faults.NOT_PREPARED,
    LocalState.LOCKED: faults.LOCKED,
}


def swarm_of(node: LocalNode) -> Cluster:
    """Return the swarm that this node manages; else Refused with 503 and the engine's text. (facts: swarmkit 7.3)"""
    standing = node.standing()
    if standing.cluster is not None:
        return standing.cluster
    raise Refused(503, without_a_swarm(standing))


def without_a_swarm(standing: Standing) -> str:
    """Return why a node has no swarm to show. An active one is a worker, or a manager that is not ready yet."""
    text = _WITHOUT.get(standing.state)
    if text is not None:
        return text
    is_manager = standing.node_id in standing.remote_managers
    return faults.NOT_PREPARED if is_manager else faults.NOT_A_MANAGER


async def cluster_shown(cluster: Cluster, standing: Standing) -> JsonObject:
    """Return the swarm as the API shows it, without its join tokens."""
    raw = (await cluster.found(Kind.SWARM, "")).raw
    if standing.has_restarted and not raw.get("DefaultAddrPool"):
        raw = {**raw, "DefaultAddrPool": list(DEFAULT_ADDRESS_POOL)}
    if not standing.tls_info:
        return raw
    return {**raw, "TLSInfo": standing.tls_info, "RootRotationInProgress": standing.root_rotates}


class FixedNode:
    """The LocalNode of a swarm that lives in this process: its manager from the start, and as long as it is served."""

    def __init__(self, standing: Standing, description: JsonObject) -> None:
        self._standing = standing
        self._description = description

    @property
    def engine_host(self) -> str | None:
        return None

    def standing(self) -> Standing:
        return self._standing

    def description(self) -> JsonObject:
        return self._description

    async def init(self, request: JsonObject) -> str:  # noqa: ARG002
        raise Refused(503, faults.ALREADY_IN_A_SWARM)

    async def join(self, request: JsonObject) -> None:  # noqa: ARG002
        raise Refused(503, faults.ALREADY_IN_A_SWARM)

    async def leave(self, *, force: bool) -> None:  # noqa: ARG002
        raise SwarmctlError(
            ErrorCode.NOT_UPDATABLE,
            "This embedded swarm can't be left.",
            why="This embedded swarm lives in one process, and ends with it: `swarmctl down`.",
        )

    async def unlock(self, key: str) -> None:  # noqa: ARG002
        raise Refused(409, faults.NOT_LOCKED)

    async def unlock_key(self) -> str:
        return ""

    def backup(self) -> AbstractAsyncContextManager[Backup]:
        raise SwarmctlError(
            ErrorCode.NOT_UPDATABLE,
            "This embedded swarm can't be backed up.",
            why="This embedded swarm lives in one process, and nothing of it outlives that: run `swarmctl daemon`.",
        )

    async def update_swarm(
        self, version: int, spec: JsonObject, *, rotate: Collection[NodeRole] = (), rotate_unlock_key: bool = False
    ) -> None:
        if rotate_unlock_key:
            raise Refused(501, "this embedded swarm has no unlock key")
        await swarm_of(self).update(Kind.SWARM, "", version, spec, rotate=rotate)


async def node_of(cluster: Cluster) -> FixedNode:
    """Return the node that answers for a swarm in this process: its leader, or where none is known a manager."""
    try:
        nodes = await cluster.listed(Kind.NODE)
    except SwarmctlError:  # it has not begun, or has ended: whoever asks is told
        nodes = ()
    managers = [node for node in nodes if node.spec.get("Role") == NodeRole.MANAGER]
    leading = (node for node in managers if node.dig("ManagerStatus", "Leader"))
    own = next(leading, managers[0] if managers else None)
    standing = Standing(
        LocalState.ACTIVE,
        cluster,
        node_id=own.id if own else "",
        address=str((own.dig("Status", "Addr") if own else "") or ""),
        remote_managers={node.id: str(node.dig("ManagerStatus", "Addr") or "") for node in managers},
    )
    return FixedNode(standing, dict(own.raw.get("Description") or {}) if own else {})
