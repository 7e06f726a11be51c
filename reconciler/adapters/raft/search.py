"""Whom a member looks for that hears no leader: its log may be older than all who work by now."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reconciler.consensus.values import NodeId
from reconciler.model.replication import Address

LOST_AFTER = 2
"""In greatest election timeouts: without a leader for this long, a member takes its own list of members for doubtful.
Who works with a majority has elected one by then."""


class Search:
    """The members that an operator names, for when those of the log are not enough.

    Who was away while the others were replaced knows none of those that lead now; nor does a new member that was given
    a snapshot from before the leader's own time, and has started again.
    """

    def __init__(
        self, named: Mapping[NodeId, Address], election_max_s: float, is_used_up: Callable[[NodeId], bool]
    ) -> None:
        """`is_used_up` says of a name that it was a member's that is known to be removed."""
        self._named = named
        self._after_s = LOST_AFTER * election_max_s
        self._is_used_up = is_used_up
        self._heard_s: float | None = None
        self._is_lost = False

    def listen(self, leader: NodeId, now_s: float) -> bool:
        """Take note of who leads, "" for nobody; return whether `wanted` may have changed."""
        if leader or self._heard_s is None:
            self._heard_s = now_s
        was_lost, self._is_lost = self._is_lost, now_s - self._heard_s > self._after_s
        return self._is_lost != was_lost

    @property
    def wanted(self) -> dict[NodeId, Address]:
        """Whom to follow beside the members; nobody while a leader is heard."""
        if not self._is_lost:
            return {}
        return {node: address for node, address in self._named.items() if not self._is_used_up(node)}
