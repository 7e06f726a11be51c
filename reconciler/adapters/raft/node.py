"""One member of a replicated group: carries out what the consensus core says, and answers its callers.

All of it runs on one event loop, but for the disk, which has a thread of its own, and for writing snapshots.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from reconciler.adapters.raft import addresses, answers, boot, snapshotting
from reconciler.adapters.raft.barriers import Barriers
from reconciler.adapters.raft.boot import Opened
from reconciler.adapters.raft.changing import MemberChanges
from reconciler.adapters.raft.clock import boot_clock
from reconciler.adapters.raft.disk_worker import DiskWorker
from reconciler.adapters.raft.frames import Forward, Frame, Leave, NotTaken, Placed, decode_frame, encode_frame
from reconciler.adapters.raft.leadership import Leadership
from reconciler.adapters.raft.persisting import Persister
from reconciler.adapters.raft.ports import Transport, Work
from reconciler.adapters.raft.proposals import Proposals
from reconciler.adapters.raft.settings import MemberSettings
from reconciler.adapters.raft.snapshotting import Growth, Incoming, Outgoing
from reconciler.adapters.raft.watching import Changes
from reconciler.consensus.core import Core
from reconciler.consensus.log import ENTRY_OVERHEAD_BYTES
from reconciler.consensus.outputs import (
    Envelope,
    Ready,
    Refused,
    Role,
    RoleChange,
    SnapshotPiece,
    SnapshotRead,
    Status,
)
from reconciler.consensus.values import Append, Entry, EntryKind, Membership, NodeId, SnapshotMeta
from reconciler.model.changes import TableKind
from reconciler.model.commands import Claim, Command, Outcome
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.replication import Address, Batch, Member, Standing
from reconciler.model.tables import Tables
from reconciler.model.transactions import Expectation, Transaction
from reconciler.store.codec import encode_entry, encode_transaction
from reconciler.store.machine import State, apply, pass_over
from reconciler.store.snapshot import freeze

log = logging.getLogger(__name__)

_ADDRESS_PREFIX = addresses.MEMBERS + "/"
_NOBODY = RoleChange(Role.FOLLOWER, 0, "")


async def open_node(
    settings: MemberSettings, transport: Transport, clock: Callable[[], float] = boot_clock
) -> RaftNode:
    """Start a member from its folder; it takes part with `run`. Raises SwarmctlError as `boot.open_member`."""
    opened = await asyncio.to_thread(boot.open_member, settings)
    for note in opened.durable.notes:
        log.warning("%s", note)
    return RaftNode(opened, settings, transport, clock)


class RaftNode:
    """A ReplicatedStore on the consensus core. Made by `open_node`."""

    def __init__(
        self, opened: Opened, settings: MemberSettings, transport: Transport, clock: Callable[[], float]
    ) -> None:
        limits, name = settings.limits, settings.owner.node
        self._settings, self._limits, self._name = settings, limits, name
        self._transport, self._clock = transport, clock
        self._loop = asyncio.get_running_loop()
        self._durable = opened.durable
        self._state: State = opened.state
        seed = int.from_bytes(os.urandom(7), "little")
        self._life = seed.to_bytes(7, "little").hex()
        self._core = Core(name, settings.consensus, opened.disk, now_s=clock(), jitter_seed=seed)
        self._worker = DiskWorker(opened.durable, limits.disk_retry_s, self._fail)
        self._persister = Persister(self._worker, self._synced, self._send_all)
        self._proposals = Proposals(
            f"{name[:80]}.{self._life}", limits, settings.consensus.entry_bytes_max, self._answer
        )
        self._barriers = Barriers(limits.readers)
        self._changes = Changes(limits.watch_entries, limits.watch_changes, self._state.index)
        self._leadership = Leadership(name, limits.work_end_s, self._fail)
        self._growth = Growth(limits, settings.consensus.log_bytes_max)
        self._growth.restart(opened.snapshot_bytes)
        self._incoming, self._outgoing = Incoming(), Outgoing()
        self._book = {**opened.book, **addresses.recorded(self._state.tables)}
        self._followed: dict[NodeId, Address] = {}
        self._held_back: dict[NodeId, Append] = {}
        self._forwarders: set[NodeId] = set()
        self._leavers: dict[NodeId, float] = {}
        self._members = Membership()
        self._role = _NOBODY
        self._claim_of_term = 0
        self._claim_index = 0
        self._paused_epoch = 0
        self._snapshot_index = opened.disk[1].index if opened.disk[1] else 0
        self._snapshot_after_s = 0.0
        self._snapshot_lock = asyncio.Lock()
        self._background: set[asyncio.Task[None]] = set()
        self._end: asyncio.Future[None] = self._loop.create_future()
        self._is_running = self._has_ended = False
        self._pump_due = False
        self._timer_at = float("inf")
        self._timer: asyncio.TimerHandle | None = None
        self._garbage_from: set[NodeId] = set()
        self.member_changes = MemberChanges(self)

    # --- what callers see ---

    @property
    def name(self) -> NodeId:
        return self._name

    @property
    def tables(self) -> Tables:
        """What is applied here, to be read only, and without an await in between."""
        return self._state.tables

    @property
    def standing(self) -> Standing:
        """Who leads, right now. Local."""
        role = self._role
        return Standing(role.leader, role.term, self._leadership.epoch, role.role is Role.REMOVED)

    def status(self) -> Status:
        """What the core knows, for `status` commands and tests."""
        return self._core.status(self._clock())

    def may_write(self, epoch: int) -> bool:
        """Whether this node leads in `epoch` and no other can. Looks at the clock, so it is true after a pause too."""
        return epoch == self._leadership.epoch != 0 and not self._has_ended and self._core.leads(self._clock())

    async def propose(
        self, commands: Sequence[Command], *, epoch: int | None = None, expectations: Sequence[Expectation] = ()
    ) -> Outcome:
        """Carry out commands as one transaction, from any member; return when it is applied here."""
        if self._has_ended:
            raise self._why_ended()
        future = self._proposals.add(commands, epoch, expectations, self._clock() + self._settings.patience_s)
        self.wake()
        return await future

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
                    self._book.get(node, Address("", 0)),
                    voter=node in status.members.voters,
                    leader=node == status.leader,
                    behind=status.last_index - peer.match_index if peer else 0 if peers else None,
                    silent_s=peer.silent_s if peer else 0.0 if peers else None,
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

    async def back_up(self, target: str) -> SnapshotMeta:
        """Write all that is applied here to a file, verified and synced.

        Raises SwarmctlError: raft-snapshot-corrupt, raft-disk-full (of this member's own folder); OSError for the
        target.
        """
        if self._state.index > self._snapshot_index:
            await self._take_snapshot()
        return await snapshotting.back_up(self._worker, target)

    # --- what the changes of members use ---

    @property
    def core(self) -> Core:
        return self._core

    def now_s(self) -> float:
        return self._clock()

    @property
    def patience_s(self) -> float:
        return self._settings.patience_s

    @property
    def election_max_s(self) -> float:
        return self._settings.consensus.election_max_s

    async def pause_leading(self) -> None:
        """Let the leader's work end, while this node still leads."""
        self._paused_epoch = self._leadership.epoch or self._paused_epoch
        self._leadership.end()
        await self._leadership.ended()

    def resume_leading(self) -> None:
        """Leadership was not handed over: go on in the same epoch."""
        if self._paused_epoch and self._role.role is Role.LEADER:
            self._leadership.begin(self._paused_epoch)
            self._paused_epoch = 0

    def address_to_record(self) -> Address | None:
        """Where this member is, if that is not what is recorded."""
        ours = self._settings.address
        if ours is None or self._name not in self._core.members or self._book.get(self._name) == ours:
            return None
        return ours

    # --- the life of a member ---

    async def run(self) -> None:
        """Take part until cancelled, then hand leadership on and close the folder. Ends by itself when removed."""
        if self._is_running or self._has_ended:
            raise RuntimeError("a member runs once")
        self._is_running = True
        self._follow_members()
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
        self._outgoing.close()
        self._incoming.abandon()
        self._durable.close()
        if not self._end.done():
            self._end.cancel()

    def _why_ended(self) -> SwarmctlError:
        if self._role.role is Role.REMOVED:
            return answers.removed(self._name)
        return answers.stopped(self._name)

    def _fail(self, error: BaseException) -> None:
        """Nothing more can be done safely: stop."""
        if self._end.done():
            return
        self._has_ended = True
        self._leadership.end()
        log.error("%s stops: %s", self._name, error)
        self._end.set_exception(error)

    # --- the pump ---

    def wake(self) -> None:
        """Look soon whether there is something to do; what comes until then is done together."""
        if not self._pump_due:
            self._pump_due = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_due = False
        if self._has_ended:
            return
        try:
            now_s, core = self._clock(), self._core
            self._barriers.ask(core, now_s)
            while True:
                self._feed(now_s)
                ready = core.ready()
                if ready is None:
                    break
                self._carry_out(ready)
            self._persister.begin()
            if self._growth.is_due:
                self._begin_snapshot(now_s)
            if core.members is not self._members:
                self._members_changed()
            if core.next_due_s < self._timer_at:
                self._arm()
        except Exception as error:  # noqa: BLE001 - a core that raised must not go on
            self._fail(error)

    def _feed(self, now_s: float) -> None:
        role = self._role
        if role.role is Role.LEADER:
            if self._claim_of_term != role.term:
                self._claim(role.term, now_s)
            self._proposals.propose(self._core, now_s)
        elif role.leader:
            self._proposals.forward(role.leader, self._send_frame, now_s)

    def _claim(self, term: int, now_s: float) -> None:
        """Begin to lead: the index of this entry is the epoch. It is never repeated in another term, where it would end
        the next leader's epoch.
        """
        command = Claim(at=datetime.now(UTC), leader=self._name)
        transaction = Transaction(f"{self._name[:80]}.{self._life}.claim", term, (command,))
        answer = self._core.propose([encode_entry([encode_transaction(transaction)])], now_s)
        if not isinstance(answer, Refused):
            self._claim_of_term, self._claim_index = answer.term, answer.first_index

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._core.next_due_s
        if self._timer_at < float("inf"):
            self._timer = self._loop.call_later(max(self._timer_at - self._clock(), 0), self._tick)

    def _tick(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        if self._has_ended:
            return
        now_s = self._clock()
        try:
            if self._core.next_due_s <= now_s:
                self._core.tick(now_s)
        except Exception as error:  # noqa: BLE001 - as in _pump
            self._fail(error)
        self._pump()

    def _received(self, sender: NodeId, data: bytes) -> None:
        if self._has_ended:
            return
        try:
            frame = decode_frame(data)
        except (msgspec.MsgspecError, ValueError):
            if sender not in self._garbage_from:
                self._garbage_from.add(sender)
                log.warning("%s sends what is no frame; it is ignored, and told only once.", sender)
            return
        try:
            self._dispatch(sender, frame)
        except Exception as error:  # noqa: BLE001 - as in _pump
            self._fail(error)
        self.wake()

    def _dispatch(self, sender: NodeId, frame: Frame) -> None:
        if isinstance(frame, Forward):
            if self._role.role is Role.LEADER and self._proposals.take_guests(sender, frame):
                self._forwarders.add(sender)
            else:
                self._send_frame(sender, NotTaken(frame.number))
        elif isinstance(frame, Placed):
            self._proposals.on_placed(sender, frame, self._state.index)
        elif isinstance(frame, NotTaken):
            self._proposals.on_not_taken(frame, self._clock())
        elif isinstance(frame, Leave):
            self.member_changes.on_leave(sender)
        else:
            self._core.receive(sender, frame, self._clock())

    def _synced(self, readies: tuple[Ready, ...]) -> None:
        if self._has_ended:
            return
        try:
            self._core.persisted(readies[-1].number, self._clock())
        except Exception as error:  # noqa: BLE001 - as in _pump
            self._fail(error)
            return
        for ready in readies:
            self._send_all(ready.messages_after)
        self._pump()

    # --- what a Ready asks for, in its order ---

    def _carry_out(self, ready: Ready) -> None:
        if ready.role is not None:
            self._role_changed(ready.role)
        self._send_all(ready.messages)
        if ready.must_sync or ready.messages_after:
            self._persister.add(ready)
        for entry in ready.committed:
            self._apply(entry)
        for piece in ready.pieces:
            self._store_piece(piece)
        for wanted in ready.chunks_wanted:
            self._send_chunk(wanted)
        for done in ready.reads:
            self._barriers.done(done)

    def _role_changed(self, role: RoleChange) -> None:
        if role.role is not Role.LEADER or role.term != self._role.term:
            self._leadership.end()
            self._paused_epoch = 0
        self._role = role
        self._proposals.on_leader(role.leader, role.term)
        if role.role is Role.REMOVED:
            log.warning("%s was removed from its group by the others, and stops.", self._name)
            if not self._end.done():
                self._end.set_result(None)
        else:
            log.info("%s: %s in term %d, leader %s", self._name, role.role.name, role.term, role.leader or "unknown")

    def _send_all(self, envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            to, message = envelope.to, envelope.message
            if type(message) is Append:
                if not message.round and not message.entries and to not in self._forwarders:
                    self._hold_back(to, message)
                    continue
                self._held_back.pop(to, None)
            self._transport.send(to, encode_frame(message))

    def _hold_back(self, to: NodeId, news: Append) -> None:
        """News of a commit wait a moment: mostly the next entries, or a heartbeat, tell them too."""
        if not self._held_back:
            self._loop.call_later(self._limits.news_s, self._send_news)
        self._held_back[to] = news

    def _send_news(self) -> None:
        if self._has_ended:
            return
        for to, news in self._held_back.items():
            self._transport.send(to, encode_frame(news))
        self._held_back.clear()

    def _send_frame(self, to: NodeId, frame: Frame) -> bool:
        return self._transport.send(to, encode_frame(frame))

    def _answer(self, to: NodeId, frame: Placed | NotTaken) -> None:
        self._transport.send(to, encode_frame(frame))

    def send_leave(self, leader: NodeId) -> None:
        """Ask the leader to remove this member."""
        self._send_frame(leader, Leave())

    def _apply(self, entry: Entry) -> None:
        self._growth.add(entry.index, len(entry.data) + ENTRY_OVERHEAD_BYTES)
        if entry.kind is not EntryKind.NORMAL:
            pass_over(self._state, entry.index)
            self._proposals.resolve(entry.index, entry.term, ())
            return
        result = apply(self._state, entry.index, entry.data)
        self._proposals.resolve(entry.index, entry.term, result.outcomes)
        if result.changes:
            self._changes.add(Batch(entry.index, result.changes, result.events))
            for change in result.changes:
                if change.kind is TableKind.RECORD and change.id.startswith(_ADDRESS_PREFIX):
                    self._addresses_changed()
                    break
        if entry.index == self._claim_index and entry.term == self._claim_of_term == self._role.term:
            self._claim_index = 0
            if self._role.role is Role.LEADER:
                self._leadership.begin(entry.index)

    # --- snapshots ---

    def _store_piece(self, piece: SnapshotPiece) -> None:
        self.spawn(self._take_piece(piece))

    async def _take_piece(self, piece: SnapshotPiece) -> None:
        try:
            state = await self._worker.run(lambda durable: self._incoming.take(durable, piece))
        except SwarmctlError as error:
            if error.code is ErrorCode.RAFT_DISK_FAILED:
                raise
            log.error("A snapshot from the leader can't be used: %s %s", error, error.problems[0].why)
            self._core.snapshot_refused()
            return
        if state is not None:
            self._install(state, piece)
        self.wake()

    def _install(self, state: State, piece: SnapshotPiece) -> None:
        meta = piece.meta
        log.info("%s has taken over a snapshot of index %d.", self._name, meta.index)
        self._state = state
        self._snapshot_index = meta.index
        self._growth.restart(piece.offset + len(piece.data))
        self._core.snapshot_installed(meta, self._clock())
        self._proposals.propose_again()
        self._changes.restart(meta.index)
        self._addresses_changed()

    def _send_chunk(self, wanted: SnapshotRead) -> None:
        self.spawn(self._read_chunk(wanted))

    async def _read_chunk(self, wanted: SnapshotRead) -> None:
        part = await self._worker.run(lambda durable: self._outgoing.read(durable, wanted))
        if part is None:
            self._core.snapshot_gone(wanted.peer)
        else:
            self._core.send_chunk(wanted, part[0], part[1], self._clock())
        self.wake()

    async def _take_snapshot(self) -> None:
        """Write what is applied here as a snapshot, and let the log go that it covers."""
        async with self._snapshot_lock:
            index = self._state.index
            if index <= self._snapshot_index or self._core.is_installing:
                return
            meta = self._core.snapshot_meta(index)
            frozen = freeze(self._state)
            self._growth.taken()
            try:
                published, size = await snapshotting.write(self._worker, meta, frozen)
            except BaseException:
                self._growth.finished(None)
                raise
            if not published:
                return
            self._growth.finished(size)
            self._snapshot_index = index
            up_to = self._growth.keep_from(index)
            await self._worker.run(lambda durable: durable.compact(up_to))
            self._core.compact(meta, up_to)

    def _begin_snapshot(self, now_s: float) -> None:
        if not self._snapshot_lock.locked() and now_s >= self._snapshot_after_s:
            self._growth.taken()  # at once: the next turn must not begin another
            self.spawn(self._take_due_snapshot())

    async def _take_due_snapshot(self) -> None:
        try:
            await self._take_snapshot()
        except SwarmctlError as error:
            if error.code is not ErrorCode.RAFT_DISK_FULL:
                raise
            log.error("There is no space for a snapshot in %s; it is tried again later.", self._settings.folder)
            self._snapshot_after_s = self._clock() + self._limits.snapshot_retry_s

    # --- members ---

    def _addresses_changed(self) -> None:
        self._book = {**self._book, **addresses.recorded(self._state.tables)}
        self._follow_members()

    def _members_changed(self) -> None:
        """Those that left are still to be reached for a moment, to be told."""
        before, self._members = self._members, self._core.members
        due_s = self._clock() + self._limits.leaver_s
        self._leavers.update({node: due_s for node in before.all if node not in self._members})
        self._follow_members()

    def _follow_members(self) -> None:
        """Tell the transport who the others are. A member that is new follows those that it was told of."""
        members = self._core.members.all or tuple(self._book)
        wanted = {*members, *self._leavers} - {self._name}
        followed = {node: self._book[node] for node in sorted(wanted) if node in self._book}
        if followed == self._followed:
            return
        self._followed = followed
        self._transport.follow(followed)
        book = {node: self._book[node] for node in members if node in self._book}
        self._worker.submit(lambda durable: addresses.save(durable.folder, book), lambda _: None)

    # --- what happens now and then ---

    def _sweep(self) -> None:
        if self._has_ended:
            return
        now_s = self._clock()
        self._loop.call_later(self._limits.sweep_s, self._sweep)
        self._forwarders.clear()
        self._proposals.sweep(now_s, self._no_leader)
        self._barriers.sweep(now_s, self._no_leader)
        if self._leavers and not self._core.status(now_s).members_pending:
            self._leavers = {node: due_s for node, due_s in self._leavers.items() if now_s < due_s}
            self._follow_members()
        self.member_changes.sweep()
        self.wake()

    def _no_leader(self) -> SwarmctlError:
        return answers.no_leader(self._name, self._settings.patience_s)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside; what it raises ends this member."""
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._spawned_ended)

    def _spawned_ended(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)
