"""Who the others are and where: what the transport follows, and what is kept for the next start."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reconciler.adapters.raft import addresses
from reconciler.adapters.raft.search import Search
from reconciler.consensus.values import Membership, NodeId
from reconciler.model.errors import ErrorCode
from reconciler.model.replication import Address
from reconciler.model.tables import Tables


class Roster:
    """The members with their addresses, and for a while those that left, so that they can be told."""

    def __init__(
        self,
        name: NodeId,
        book: Mapping[NodeId, Address],
        leaver_s: float,
        changed: Callable[[dict[NodeId, Address], dict[NodeId, Address]], None],
        search: Search,
    ) -> None:
        """`changed` is told whom to follow, and what to keep."""
        self._name = name
        self._search = search
        self._leaver_s = leaver_s
        self._changed = changed
        self._leavers: dict[NodeId, float] = {}
        self._followed: dict[NodeId, Address] = {}
        self.book = dict(book)
        """All addresses that are known."""
        self.members = Membership()
        self._shut_out_s = float("inf")

    def read(self, tables: Tables) -> None:
        """The recorded addresses have changed."""
        self.book.update(addresses.recorded(tables))
        self.tell()

    def follow(self, members: Membership, now_s: float) -> None:
        """The members have changed, perhaps not for good."""
        before, self.members = self.members, members
        self._leavers.update({node: now_s + self._leaver_s for node in before.all if node not in members})
        self.tell()

    @property
    def has_leavers(self) -> bool:
        return bool(self._leavers)

    def sweep(self, now_s: float) -> None:
        """Forget those that left long enough ago. To be called while no change of members is under way."""
        self._leavers = {node: due_s for node, due_s in self._leavers.items() if now_s < due_s}
        self.tell()

    def listen(self, leader: NodeId, now_s: float) -> None:
        """Look for others than the members when nobody has led for long; to be called every now and then."""
        if self._search.listen(leader, now_s):
            self.tell()

    def tell(self) -> None:
        """Say whom to follow, if that has changed. A member that is new follows those that it was told of."""
        members = self.members.all or tuple(self.book)
        known = {**self._search.wanted, **self.book}
        wanted = {*members, *self._leavers, *self._search.wanted} - {self._name}
        followed = {node: known[node] for node in sorted(wanted) if node in known}
        if followed != self._followed:
            self._followed = followed
            self._changed(followed, {node: self.book[node] for node in members if node in self.book})

    def is_shut_out(self, refused_by: Mapping[NodeId, ErrorCode], leader: NodeId, now_s: float) -> bool:
        """Whether this member was removed while it could not be told.

        Most others of those that vote have said for `leaver_s` that it is none of theirs, and no leader was heard.
        """
        others = [node for node in self.members.voters if node != self._name]
        refusing = [node for node in others if refused_by.get(node) is ErrorCode.PEERS_NOT_A_MEMBER]
        if leader or 2 * len(refusing) <= len(others):
            self._shut_out_s = now_s
        return now_s - self._shut_out_s > self._leaver_s
