"""What lets a machine into a swarm, read from an engine's answers."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.json import JsonObject, dig
from reconciler.model.objects import NodeRole
from reconciler.model.tickets import JoinTicket


def ticket(role: NodeRole, token: str, nodes: Sequence[JsonObject]) -> JoinTicket:
    """Return what a machine joins with: the managers that can be reached, the leader first.

    Raises swarm-unavailable where the engine tells no token or no manager's address.
    """
    managers = [found for node in nodes if isinstance(found := dig(node, "ManagerStatus"), dict) and found.get("Addr")]
    reachable = [one for one in managers if one.get("Reachability", "reachable") == "reachable"]
    ordered = sorted(reachable, key=lambda one: not one.get("Leader"))
    if not token or not ordered:
        raise SwarmctlError(
            ErrorCode.SWARM_UNAVAILABLE,
            f"The engine tells no {role.value} join token." if not token else "No manager can be reached to join at.",
            why="What stands between us and the engine may hold it back." if not token else "",
            hint="Look at `docker node ls` on a manager.",
        )
    return JoinTicket(role, token, tuple(str(one["Addr"]) for one in ordered))
