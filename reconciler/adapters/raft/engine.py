"""What carries out the consensus core's Readies, in their order.

All of it runs on one event loop, but for the disk, which has a thread of its own (a follower waits for it where it is
quick), and for writing snapshots.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import msgspec

from reconciler.adapters.raft import addresses, answers
from reconciler.adapters.raft.barriers import Barriers
from reconciler.adapters.raft.boot import Opened
from reconciler.adapters.raft.changing import MemberChanges
from reconciler.adapters.raft.claims import Claims
from reconciler.adapters.raft.disk_worker import DiskWorker
from reconciler.adapters.raft.frames import Forward, Frame, Leave, NotTaken, Placed, decode_frame
from reconciler.adapters.raft.leadership import Leadership
from reconciler.adapters.raft.persisting import Persister
from reconciler.adapters.raft.ports import Transport
from reconciler.adapters.raft.proposals import Proposals
from reconciler.adapters.raft.roster import Roster
from reconciler.adapters.raft.search import Search
from reconciler.adapters.raft.sending import Sender
from reconciler.adapters.raft.settings import MemberSettings
from reconciler.adapters.raft.snapshotting import Growth, Snapshotter
from reconciler.adapters.raft.watching import Changes
from reconciler.consensus.core import Core
from reconciler.consensus.log import ENTRY_OVERHEAD_BYTES
from reconciler.consensus.outputs import Ready, Role, RoleChange, SnapshotPiece, Status
from reconciler.consensus.values import Append, AppendReply, Entry, EntryKind, NodeId, SnapshotMeta
from reconciler.model.changes import TableKind
from reconciler.model.commands import Command, Outcome
from reconciler.model.errors import SwarmctlError
from reconciler.model.replication import Address, Batch, Standing
from reconciler.model.tables import Tables
from reconciler.model.transactions import Expectation
from reconciler.store.machine import State, apply, pass_over

log = logging.getLogger(__name__)

_ADDRESS_PREFIX = addresses.MEMBERS + "/"
_NOBODY = RoleChange(Role.FOLLOWER, 0, "")


class Engine:
    """The inside of a member: the core, and everything that it drives."""

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
        self._sender = Sender(transport, limits.news_s)
        self._persister = Persister(self._worker, self._synced, self._sender.send_all, self._pump)
        self._proposals = Proposals(
            f"{name[:80]}.{self._life}", limits, settings.consensus.entry_bytes_max, self._sender.send
        )
        self._barriers = Barriers(limits.readers)
        self._changes = Changes(limits.watch_entries, limits.watch_changes, self._state.index)
        self._leadership = Leadership(name, limits.work_end_s, self._fail)
        self._claims = Claims(name, self._life, self._leadership)
        growth = Growth(limits, settings.consensus.log_bytes_max, opened.snapshot_bytes)
        self._snapshots = Snapshotter(self, self._worker, growth, opened.disk[1], limits)
        book = {**opened.book, **addresses.recorded(self._state.tables)}
        election_max_s = settings.consensus.election_max_s
        search = Search(settings.named, election_max_s, lambda node: addresses.is_used_up(self._state.tables, node))
        self._roster = Roster(name, book, limits.leaver_s, self._follow, search)
        self._role = _NOBODY
        self._background: set[asyncio.Task[None]] = set()
        self._end: asyncio.Future[None] = self._loop.create_future()
        self._is_running = self._has_ended = False
        self._pump_due = False
        self._timer_at = float("inf")
        self._timer: asyncio.TimerHandle | None = None
        self._garbage_from: set[NodeId] = set()
        self.member_changes = MemberChanges(self)

    # --- what is known here

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

    async def propose(
        self, commands: Sequence[Command], *, epoch: int | None = None, expectations: Sequence[Expectation] = ()
    ) -> Outcome:
        """Carry out commands as one transaction, from any member; return when it is applied here."""
        if self._has_ended:
            raise self._why_ended()
        future = self._proposals.add(commands, epoch, expectations, self._clock() + self._settings.patience_s)
        self.wake()
        return await future

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
        await self._claims.pause()

    def resume_leading(self) -> None:
        """Go on in the epoch that was paused, unless leadership is still being handed over."""
        if self._claims.is_paused and not self.status().transferring_to:
            self._claims.resume(self._role)

    def address_to_record(self) -> Address | None:
        """Where this member is, if that is not what is recorded."""
        ours = self._settings.address
        if ours is None or self._name not in self._core.members or self._roster.book.get(self._name) == ours:
            return None
        return ours

    def _why_ended(self) -> SwarmctlError:
        return (answers.removed if self._role.role is Role.REMOVED else answers.stopped)(self._name)

    def _fail(self, error: BaseException) -> None:
        """Nothing more can be done safely: stop."""
        if self._end.done() or self._has_ended:
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
            self._drain(now_s)
            while self._persister.sync_at_once():
                self._drain(self._clock())
            self._persister.begin()
            self._snapshots.begin_if_due()
            if core.members is not self._roster.members:
                self._roster.follow(core.members, now_s)
            if core.next_due_s < self._timer_at:
                self._arm()
        except Exception as error:  # noqa: BLE001 - a core that raised must not go on
            self._fail(error)

    def _drain(self, now_s: float) -> None:
        """Give the core what waits, and carry out what it says, until it says nothing."""
        while not self._has_ended:
            role = self._role
            if role.role is Role.LEADER:
                self._claims.claim(self._core, role.term, now_s)
                self._proposals.propose(self._core, now_s)
            elif role.leader:
                self._proposals.forward(role.leader, self._sender.send, now_s)
            ready = self._core.ready()
            if ready is None:
                return
            self._carry_out(ready)

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
        if isinstance(frame, AppendReply) or (isinstance(frame, Append) and self._persister.is_idle):
            self._pump()  # at once: callers may wait for what it commits, or a leader for what it has written
        else:
            self.wake()

    def _dispatch(self, sender: NodeId, frame: Frame) -> None:
        if isinstance(frame, Forward):
            if self._role.role is Role.LEADER and self._proposals.take_guests(sender, frame):
                self._sender.hurry(sender)
            else:
                self._sender.send(sender, NotTaken(frame.number))
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
            self._sender.send_all(ready.messages_after)

    # --- what a Ready asks for, in its order ---

    def _carry_out(self, ready: Ready) -> None:
        if ready.role is not None:
            self._role_changed(ready.role)
        self._sender.send_all(ready.messages)
        if ready.must_sync or ready.messages_after:
            self._persister.add(ready)
            if not self._persister.is_in_place:
                self._persister.begin()  # the disk works while the entries before are applied
        if ready.committed or ready.reads:
            if self._role.role is Role.LEADER and not self._persister.has_followers:
                self._take_effect(ready)  # callers wait for it
            else:
                # What a follower is given to write, the leader waits for; its own callers wait for the leader.
                self._persister.then(partial(self._take_effect, ready))
        for piece in ready.pieces:
            # The snapshot may only take the place of a log that is written as far as the core has told.
            self._persister.then(partial(self._store, piece))
        for wanted in ready.chunks_wanted:
            self.spawn(self._snapshots.send(wanted))

    def _take_effect(self, ready: Ready) -> None:
        """Apply what is committed, and let those go on who waited to read it."""
        if self._has_ended:
            return
        try:
            for entry in ready.committed:
                self._apply(entry)
        except Exception as error:  # noqa: BLE001 - as in _pump
            self._fail(error)
            return
        for done in ready.reads:
            self._barriers.done(done)

    def _role_changed(self, role: RoleChange) -> None:
        self._claims.role_changed(role, self._role)
        self._role = role
        self._persister.may_wait = role.role is not Role.LEADER  # which serves others meanwhile
        self._proposals.on_leader(role.leader, role.term)
        if role.role is Role.REMOVED:
            log.warning("%s was removed from its group by the others, and stops.", self._name)
            self._worker.submit(lambda durable: addresses.mark_removed(durable.folder), lambda _: None)
            if not self._end.done():
                self._end.set_result(None)
        else:
            log.info("%s: %s in term %d, leader %s", self._name, role.role.name, role.term, role.leader or "unknown")

    def send_leave(self, leader: NodeId) -> None:
        """Ask the leader to remove this member."""
        self._sender.send(leader, Leave())

    def _apply(self, entry: Entry) -> None:
        self._snapshots.growth.add(entry.index, len(entry.data) + ENTRY_OVERHEAD_BYTES)
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
                    self._roster.read(self._state.tables)
                    break
        if self._claims.is_fulfilled_by(entry, self._role.term):
            self.resume_leading()

    @property
    def state(self) -> State:
        """What is applied."""
        return self._state

    def install(self, state: State, meta: SnapshotMeta) -> None:
        """Go on from the state of a received snapshot, which is published."""
        if self._has_ended:
            return
        log.info("%s has taken over a snapshot of index %d.", self._name, meta.index)
        self._state = state
        self._core.snapshot_installed(meta, self._clock())
        self._proposals.propose_again()
        self._changes.restart(meta.index)
        self._roster.read(state.tables)

    def _store(self, piece: SnapshotPiece) -> None:
        self.spawn(self._snapshots.store(piece))

    def _follow(self, others: dict[NodeId, Address], kept: dict[NodeId, Address]) -> None:
        self._transport.follow(others)
        self._worker.submit(lambda durable: addresses.save(durable.folder, kept), lambda _: None)

    # --- what happens now and then ---

    def _sweep(self) -> None:
        if self._has_ended:
            return
        now_s = self._clock()
        self._loop.call_later(self._limits.sweep_s, self._sweep)
        self._sender.calm()
        self._proposals.sweep(now_s, self._no_leader)
        self._barriers.sweep(now_s, self._no_leader)
        if self._roster.has_leavers and not self._core.status(now_s).members_pending:
            self._roster.sweep(now_s)
        self.member_changes.sweep()
        self._roster.listen(self._role.leader, now_s)
        if self._roster.is_shut_out(self._transport.refused_by(), self._role.leader, now_s):
            self._fail(answers.removed(self._name))
            return
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
