"""Whom a member reaches and lets in: as the real ones do, by what each knows of the members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.adapters.raft.roster import Roster
from reconciler.adapters.raft.search import Search
from reconciler.model.replication import Address

if TYPE_CHECKING:
    from tests.simulation_raft.node import SimulatedNode

LEAVER_S = 3.0
HERE = Address("here", 1)


class Door:
    """That of one member, in one of its lives. An operator names every node that there ever was."""

    def __init__(self, node: SimulatedNode) -> None:
        self.node = node
        self.named: dict[str, Address] = {}
        self.followed: dict[str, Address] = {}
        search = Search(self.named, node.world.settings.election_max_s, lambda _: False)
        self.roster = Roster(node.name, {}, LEAVER_S, self._changed, search)

    def _changed(self, followed: dict[str, Address], _: dict[str, Address]) -> None:
        self.followed = followed

    def look(self) -> None:
        """Do what a member does every now and then."""
        world, core, roster = self.node.world, self.node.core, self.roster
        if len(self.named) < len(world.everybody):
            self.named.update(dict.fromkeys(world.everybody, HERE))
            roster.book.update(self.named)
            roster.tell()
        roster.listen(core._state.leader, world.now)
        if core.members is not roster.members:
            roster.follow(core.members, world.now)
        if roster.has_leavers and core._state.commit >= core._state.log.members_index:
            roster.sweep(world.now)

    def lets_in(self, other: str) -> bool:
        """As RaftNode.admits says, beside whom it follows."""
        core = self.node.core
        return other in self.followed or other == core._state.leader or not core.members.all


def are_linked(one: SimulatedNode, other: SimulatedNode) -> bool:
    """Whether one of two nodes dials, and the other lets it in."""
    one.door.look()
    other.door.look()
    return (other.name in one.door.followed and other.door.lets_in(one.name)) or (
        one.name in other.door.followed and one.door.lets_in(other.name)
    )
