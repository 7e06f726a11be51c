"""One member of a replicated group, as its callers see it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager

from reconciler.adapters.raft import answers, boot
from reconciler.adapters.raft.backup import offered
from reconciler.adapters.raft.boot import Opened
from reconciler.adapters.raft.clock import boot_clock
from reconciler.adapters.raft.disk import Disk
from reconciler.adapters.raft.engine import Engine
from reconciler.adapters.raft.ports import Transport, Work
from reconciler.adapters.raft.settings import MemberSettings
from reconciler.consensus.outputs import Role
from reconciler.consensus.values import NodeId, SnapshotMeta
from reconciler.model.replication import Address, Backup, Batch, Member

log = logging.getLogger(__name__)


async def open_node(
    settings: MemberSettings,
    transport: Transport,
    *,
    clock: Callable[[], float] = boot_clock,
    disk: Disk | None = None,
) -> RaftNode:
    """Start a member from its folder; it takes part with `run`. Raises SwarmctlError as `boot.open_member`."""
    opened = await asyncio.to_thread(boot.open_member, settings, disk)
    for note in opened.durable.notes:
        log.warning("%s", note)
    return RaftNode(opened, settings, transport, clock)


class RaftNode(Engine):
    """A ReplicatedStore on the consensus core. Made by `open_node`."""

    def __init__(
        self, opened: Opened, settings: MemberSettings, transport: Transport, clock: Callable[[], float]
    ) -> None:
        super().__init__(opened, settings, transport, clock)
        self._founding = opened.founding

    # --- what callers see ---

    def may_write(self, epoch: int) -> bool:
        """Whether this node leads in `epoch` and no other can. Looks at the clock, so it is true after a pause too."""
        return epoch == self._leadership.epoch != 0 and not self._has_ended and self._core.leads(self._clock())

    async def read_barrier(self) -> int:
        """Wait until all that was acknowledged anywhere before this call is in `tables`; return the index."""
        if self._has_ended:
            raise self._why_ended()
        future = self._barriers.add(self._clock() + self._settings.patience_s)
        self.wake()
        return await future

    def watch(self, after: int) -> AsyncGenerator[Batch, None]:
        """What entries changed from index `after + 1` on, without a gap."""
        return self._changes.watch(after, self._state.index)

    async def lead(self, work: Work) -> None:
        """Run `work` whenever this node leads, until cancelled."""
        await self._leadership.run(work)

    def admits(self, node: NodeId) -> bool:
        """Whether a node of this group that is not followed may reach this one.

        Everyone may while this one knows no members yet; and who leads, as its joining may be in an entry, or behind a
        snapshot, that is still on its way here.
        """
        return node == self._role.leader or not self._core.members.all

    def founding(self) -> str:
        """What stands for the first members of this one's group, "" while that is not known here.

        Who joined learns it from the state, and keeps it from then on.
        """
        if not self._founding and (found := boot.founding(self.tables)):
            self._founding = found
            self._worker.submit(lambda durable: boot.note_founding(durable.folder, found), lambda _: None)
        return self._founding

    def members(self) -> tuple[Member, ...]:
        """The members as of the newest entry here, by id."""
        status = self.status()
        peers = {peer.node: peer for peer in status.peers}
        found = []
        for node in sorted(status.members.all):
            peer = peers.get(node)
            found.append(
                Member(
                    node,
                    self._roster.book.get(node, Address("", 0)),
                    voter=node in status.members.voters,
                    leader=node == status.leader,
                    behind=status.last_index - peer.match_index if peer else 0 if peers else None,
                    silent_s=min(peer.silent_s, status.led_s) if peer else 0.0 if peers else None,
                    refuses=self._snapshots.refuses if node == self.name else peer.refuses if peer else "",
                )
            )
        return tuple(found)

    async def add_member(self, member: NodeId, address: Address) -> None:
        """Let a new node in as a learner; it becomes a voter as soon as it has caught up. Only the leader does it."""
        await self.member_changes.add(member, address)

    async def remove_member(self, member: NodeId) -> None:
        """Take a member out, also a dead one. A leader that removes itself hands leadership on first."""
        await self.member_changes.remove(member)

    async def hand_over(self, member: NodeId | None = None) -> None:
        """Let another voter lead. What this leader does ends first, so that two never act, also not for a moment."""
        await self.member_changes.hand_over(member)

    async def back_up(self, target: str, disk: Disk | None = None) -> SnapshotMeta:
        """Write all that is applied here to a file, verified and synced, and sealed if `disk` has a seal.

        Raises SwarmctlError: raft-snapshot-corrupt, raft-disk-full (of this member's own folder); OSError for the
        target.
        """
        return await self._snapshots.back_up(target, disk)

    def backup(self, disk: Disk | None = None) -> AbstractAsyncContextManager[Backup]:
        """Offer a copy of all that is applied here, for an `async with`. Works without a leader too.

        The copy is sealed if `disk` has a seal.

        Raises SwarmctlError: raft-snapshot-corrupt, raft-disk-full, raft-disk-failed.
        """
        return offered(self, self._durable.folder, disk)

    # --- the life of a member ---

    async def run(self) -> None:
        """Take part until cancelled, then hand leadership on and close the folder. Ends by itself when removed."""
        if self._is_running or self._has_ended:
            raise RuntimeError("a member runs once")
        self._is_running = True
        self._roster.follow(self._core.members, self._clock())
        carrying = asyncio.ensure_future(self._transport.run(self._received))
        self._sweep()
        try:
            await asyncio.wait({carrying, self._end}, return_when=asyncio.FIRST_COMPLETED)
            if carrying.done():
                carrying.result()
                raise answers.stopped(self._name)
            self._end.result()
        finally:
            await self._stop(carrying)

    async def _stop(self, carrying: asyncio.Future[None]) -> None:
        try:
            if not self._end.done() and not carrying.done() and self._role.role is Role.LEADER:
                await self.member_changes.try_hand_over(self._limits.hand_over_s)
        finally:
            self._has_ended = True
            self._leadership.end()
            self._proposals.fail(self._why_ended)
            self._barriers.fail(self._why_ended)
            self._changes.end(self._why_ended)
            self._sender.close()
            if self._timer is not None:
                self._timer.cancel()
            for task in self._background:
                task.cancel()
            carrying.cancel()
            await asyncio.wait({carrying, *self._background})
            await self._close()

    async def _close(self) -> None:
        await self._leadership.ended()
        await self._worker.stop()
        self._snapshots.close()
        self._durable.close()
        if not self._end.done():
            self._end.cancel()
