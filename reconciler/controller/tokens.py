"""Renews a join token on demand, as a plan does it by the clock."""

from __future__ import annotations

from datetime import datetime

from reconciler.controller.ports import Cluster
from reconciler.controller.write import STALE_RETRIES_MAX
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.objects import Kind, NodeRole
from reconciler.planning.topology.tokens import stamped


async def rotate_join_token(cluster: Cluster, role: NodeRole, now: datetime) -> None:
    """Make the join token of `role` invalid and a new one valid, and note on the swarm that this was done `now`.

    Both in one write, so that no plan finds a token that looks older than it is. Raises what the port raises.
    """
    for attempt in range(STALE_RETRIES_MAX + 1):
        swarm = await cluster.get(Kind.SWARM, "")
        spec = stamped(swarm.spec, (role,), now)
        try:
            await cluster.update(Kind.SWARM, swarm.id, swarm.version, spec, rotate=(role,))
        except SwarmctlError as error:
            if error.code is not ErrorCode.STALE_VERSION or attempt == STALE_RETRIES_MAX:
                raise
        else:
            return
