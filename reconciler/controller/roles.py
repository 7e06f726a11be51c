"""Waits until a node has become what its new role says: the write alone only asks for it.

A promoted node fetches a manager's certificate and joins the managers' Raft group; a demoted one leaves it first.
Another step on roles before that may cost the quorum that the plan counted on, or is refused by the swarm.
"""

from __future__ import annotations

import asyncio

from reconciler.controller.ports import Cluster
from reconciler.model.errors import ErrorCode, Problem, SwarmctlError
from reconciler.model.objects import Kind, NodeRole, ObservedObject
from reconciler.model.plan import Action

ROLE_WAIT_S = 60.0
"""Swarm's own managers take a few seconds; a node whose manager does not come up in a minute needs a look."""

POLL_S = 0.25
PASSING = (ErrorCode.SWARM_UNAVAILABLE, ErrorCode.ENGINE_UNREACHABLE, ErrorCode.NOT_A_MANAGER)
"""While managers come and go, the leader may change, an engine restart, and requests fail for a moment."""


def changes_role(action: Action) -> bool:
    """Return whether the action promotes or demotes a node."""
    if action.kind is not Kind.NODE or action.spec is None:
        return False
    return action.spec.get("Role") != (action.read_spec or {}).get("Role")


async def await_role(cluster: Cluster, action: Action, timeout_s: float, own_node_id: str) -> Problem | None:
    """Return None once the node acts as its new role says, or why that did not come about in time.

    When `own_node_id`, the node that answers us, has been demoted, its refusal to serve any longer is the answer.
    """
    assert action.object_id is not None
    assert action.spec is not None
    role = NodeRole(action.spec["Role"])
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + min(timeout_s, ROLE_WAIT_S)
    last = "the swarm did not answer"
    while True:
        try:
            node = await cluster.get(Kind.NODE, action.object_id)
        except SwarmctlError as error:
            if error.code is ErrorCode.NOT_A_MANAGER and role is NodeRole.WORKER and action.object_id == own_node_id:
                return None
            if error.code is ErrorCode.OBJECT_NOT_FOUND and role is NodeRole.WORKER:
                return None  # removed meanwhile, as nobody is who is a manager
            if error.code not in PASSING and not error.passing:
                return error.problems[0]
            last = error.problems[0].why or error.problems[0].what
        else:
            if acts_as(node, role):
                return None
            last = f"its manager status is {node.dig('ManagerStatus', 'Reachability') or 'none'}"
        if loop.time() >= deadline_s:
            return Problem(
                ErrorCode.NOT_CONVERGED,
                f"Node {action.name} was asked to be a {role.value} and does not act as one yet.",
                why=f"After {min(timeout_s, ROLE_WAIT_S):.0f} s, {last}.",
                hint="Look at `docker node ls` and the node's own log, then apply again.",
                place=action.place,
            )
        await asyncio.sleep(POLL_S)


def acts_as(node: ObservedObject, role: NodeRole) -> bool:
    """Return whether a node is a reachable manager, or no manager any more."""
    if role is NodeRole.MANAGER:
        return bool(node.dig("ManagerStatus", "Reachability") == "reachable")
    return node.dig("ManagerStatus") is None
