"""Renews a join token on demand, as a plan does it by the clock."""

from __future__ import annotations

from datetime import datetime

from reconciler.controller.patience import may_pass
from reconciler.controller.ports import Cluster
from reconciler.controller.write import STALE_RETRIES_MAX
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.objects import Kind, NodeRole
from reconciler.planning.topology.tokens import stamped


async def rotate_join_token(cluster: Cluster, role: NodeRole, now: datetime) -> None:
    """Make the join token of `role` invalid and a new one valid, and note on the swarm that this was done `now`.

    Both in one write, so that no plan finds a token that looks older than it is. Where the answer of a write was lost,
    one look tells whether it has gone through. Raises what the port raises.
    """
    for attempt in range(STALE_RETRIES_MAX + 1):
        swarm = await cluster.get(Kind.SWARM, "")
        spec = stamped(swarm.spec, (role,), now)
        try:
            await cluster.update(Kind.SWARM, swarm.id, swarm.version, spec, rotate=(role,))
        except SwarmctlError as error:
            if may_pass(error) and swarm.spec != spec and await _has_gone_through(cluster, role, now):
                return
            if error.code is not ErrorCode.STALE_VERSION or attempt == STALE_RETRIES_MAX:
                raise
        else:
            return


async def _has_gone_through(cluster: Cluster, role: NodeRole, now: datetime) -> bool:
    """Return whether the swarm is seen to say that the token was renewed `now`; False where it can't be seen."""
    try:
        swarm = await cluster.get(Kind.SWARM, "")
    except SwarmctlError:
        return False
    return swarm.spec == stamped(swarm.spec, (role,), now)
