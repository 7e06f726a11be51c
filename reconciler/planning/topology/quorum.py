"""Who counts among the managers, and whether a majority of them would still be reachable.

Source: swarmkit's CanRemoveMember: of n members, x may go when the reachable others are at least (n-1)/2 + 1. Its API
checks the same at a demotion, so that what this misses (a fault after the look) the swarm refuses by itself.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from reconciler.model.objects import ObservedObject
from reconciler.model.words import many
from reconciler.planning.topology.listing import is_manager


class Managers(msgspec.Struct, frozen=True):
    """The managers' Raft group: {node ids} of its members, and of those that are known to be reachable."""

    members: frozenset[str]
    reachable: frozenset[str]

    @classmethod
    def of(cls, nodes: Iterable[ObservedObject]) -> Managers:
        """Return the group as `nodes` show it, counted so that no step that is under way already can make it worse.

        A node that was promoted and has not joined yet is a member, and not a reachable one: it may join and fail. A
        node that was demoted and has not left yet is no member any more if it is reachable, and still is one if not.
        """
        members: set[str] = set()
        reachable: set[str] = set()
        for node in nodes:
            answers = node.dig("ManagerStatus", "Reachability") == "reachable"
            if is_manager(node.spec):
                members.add(node.id)
                if answers:
                    reachable.add(node.id)
            elif node.dig("ManagerStatus") is not None and not answers:
                members.add(node.id)
        return cls(frozenset(members), frozenset(reachable))

    @property
    def has_majority(self) -> bool:
        """Whether the reachable ones can decide."""
        return len(self.reachable) >= len(self.members) // 2 + 1

    def joined_by(self, node_id: str) -> Managers:
        """Return the group with one more, who has been waited for: an action after a promotion needs it reachable."""
        return Managers(self.members | {node_id}, self.reachable | {node_id})

    def without(self, node_id: str) -> Managers:
        """Return the group without one member."""
        return Managers(self.members - {node_id}, self.reachable - {node_id})

    def why_not_without(self, node_id: str) -> str:
        """Return why this member must not leave, or "" when it may."""
        left = self.without(node_id)
        if not left.members:
            return "It is the last manager: without one the swarm can't be changed any more."
        if not left.has_majority:
            count, known = len(left.members), len(left.reachable)
            return f"Of the {many(count, 'manager')} left, {known} would be known to be reachable: no majority."
        return ""

    def why_not_joined(self) -> str:
        """Return why nobody must join now, or "" when somebody may."""
        if self.has_majority:
            return ""
        return f"Of the {many(len(self.members), 'manager')}, {len(self.reachable)} are reachable: no majority."
