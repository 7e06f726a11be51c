"""The swarm itself and its nodes: settings, join tokens, roles, availability, labels, removal."""

from reconciler.planning.topology.nodes import leave_last, plan_nodes
from reconciler.planning.topology.settings import plan_swarm

__all__ = ["leave_last", "plan_nodes", "plan_swarm"]
