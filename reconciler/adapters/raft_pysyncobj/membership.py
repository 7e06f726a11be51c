"""Who takes part, and where they are; those who leave are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from reconciler.adapters.raft import addresses
from reconciler.adapters.raft.clock import boot_clock
from reconciler.adapters.raft.ports import Transport
from reconciler.adapters.raft.settings import MemberSettings
from reconciler.adapters.raft_pysyncobj.core import Core
from reconciler.adapters.raft_pysyncobj.messages import Shared
from reconciler.consensus.outputs import Role, Status
from reconciler.consensus.values import Membership, NodeId, Removed
from reconciler.model.changes import Change, TableKind
from reconciler.model.replication import Address, Member
from reconciler.model.tables import Tables


class Roster:
    """The members as one of them sees them."""

    def __init__(
        self,
        settings: MemberSettings,
        core: Core,
        transport: Transport,
        book: Mapping[NodeId, Address],
        send: Callable[[NodeId, Shared], bool],
    ) -> None:
        """`book` are the addresses that were kept at the last life of this member."""
        self._settings, self._core, self._transport, self._send = settings, core, transport, send
        self._node = settings.owner.node
        self._book = dict(book)
        self._group: Membership | None = None
        self._followed: dict[NodeId, Address] | None = None
        self._leavers: dict[NodeId, float] = {}
        self._is_stale = True
        self.is_removed = False
        """The others have said that this node is a member no more."""

    # --- looking

    def members(self, status: Status) -> tuple[Member, ...]:
        """As of the newest entry here, by id."""
        peers = {peer.node: peer for peer in status.peers}
        own = (0, 0.0) if status.role is Role.LEADER else (None, None)
        found = []
        for node in sorted(status.members.all):
            peer = peers.get(node)
            seen = (status.last_index - peer.match_index, peer.silent_s) if peer else own
            address = self._book.get(node, Address("", 0))
            found.append(Member(node, address, node in status.members.voters, node == status.leader, *seen))
        return tuple(found)

    def note(self, changes: Sequence[Change]) -> None:
        """An entry changed records: perhaps addresses."""
        prefix = f"{addresses.MEMBERS}/"
        if any(change.kind is TableKind.RECORD and change.id.startswith(prefix) for change in changes):
            self._is_stale = True

    def look_again(self) -> None:
        """The state has changed as a whole."""
        self._is_stale = True

    def follow(self, tables: Tables) -> None:
        """Tell the transport who the others are, when that has changed."""
        group = self._core.journal.group
        if group is not self._group:
            if self._group is not None:
                until = boot_clock() + self._settings.limits.leaver_s
                self._leavers |= {node: until for node in self._group.all if node not in group}
            self._group, self._is_stale = group, True
        if not self._is_stale:
            return
        self._is_stale = False
        self._book |= addresses.recorded(tables)
        wanted = {node: address for node, address in self._book.items() if self._is_met(node, group)}
        if wanted != self._followed:
            self._followed = wanted
            self._transport.follow(wanted)
            if group.all:
                kept = {node: address for node, address in self._book.items() if node in group}
                addresses.save(self._settings.folder, kept)

    def address_to_record(self) -> Address | None:
        """Where this member is, if that is not what is recorded."""
        ours = self._settings.address
        if ours is None or self._node not in self._core.journal.group or self._book.get(self._node) == ours:
            return None
        return ours

    def _is_met(self, node: NodeId, group: Membership) -> bool:
        return node != self._node and (node in group or node in self._leavers or not group.all)

    def sweep(self, now_s: float) -> None:
        """Tell those who left; forget those who were told for long enough."""
        for node, until in list(self._leavers.items()):
            if now_s >= until and self._core.journal.group_index <= self._core.committed:
                del self._leavers[node]
                self._is_stale = True
            elif self._core.leads:
                self.tell_stranger(node)

    # --- leaving

    def tell_stranger(self, node: NodeId) -> bool:
        """Tell a node that it is a member no more, if that is committed. False if it is one."""
        core = self._core
        group, committed = core.journal.group, core.committed
        if not group.all or node in group or core.journal.group_index > committed:
            return False
        self._send(node, Removed(core.term, committed))
        return True

    def on_removed(self, message: Removed) -> None:
        """Stop for good, unless the log here has a membership that is newer than what the sender knows."""
        journal = self._core.journal
        if not journal.group.all or (journal.group_index > message.index and self._node in journal.group):
            return
        if not self.is_removed:
            self.is_removed = True
            addresses.mark_removed(self._settings.folder)
