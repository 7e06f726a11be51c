"""The port's second implementation: one member, from the calls of its users to upstream's core and back."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from reconciler.adapters.raft import answers
from reconciler.adapters.raft.boot import Opened, open_member
from reconciler.adapters.raft.changing import MemberChanges
from reconciler.adapters.raft.clock import boot_clock
from reconciler.adapters.raft.frames import Forward, Leave, NotTaken, Placed
from reconciler.adapters.raft.leadership import Leadership
from reconciler.adapters.raft.ports import Transport, Work
from reconciler.adapters.raft.proposals import Proposals
from reconciler.adapters.raft.settings import MemberSettings
from reconciler.adapters.raft.snapshotting import Growth
from reconciler.adapters.raft.watching import Changes
from reconciler.adapters.raft_pysyncobj.changes import status_of
from reconciler.adapters.raft_pysyncobj.core import Around, Core
from reconciler.adapters.raft_pysyncobj.journal import NORMAL, Journal
from reconciler.adapters.raft_pysyncobj.membership import Roster
from reconciler.adapters.raft_pysyncobj.messages import NoMessage, Shared, decode, encode_shared
from reconciler.adapters.raft_pysyncobj.snapshots import Snapshots
from reconciler.adapters.raft_pysyncobj.upstream import Fields, check
from reconciler.consensus.outputs import Status
from reconciler.consensus.values import NodeId, Removed
from reconciler.model.commands import Applied, Claim, Command, Outcome
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.model.replication import Address, Batch, Member, Standing
from reconciler.model.tables import Tables
from reconciler.model.transactions import Expectation, Transaction
from reconciler.store.codec import encode_entry, encode_transaction
from reconciler.store.machine import State, apply, pass_over

log = logging.getLogger(__name__)

TICK_S = 0.02
"""Seconds between turns in which nothing arrives: how late an election or a heartbeat may be."""


class PySyncObjStore:
    """A `ReplicatedStore` (see the port) whose elections and appends are PySyncObj's. Not the default.

    It works on the folders that `boot` makes; our own store can go on with them, and the other way round.
    """

    def __init__(self, settings: MemberSettings, transport: Transport, opened: Opened | None = None) -> None:
        """Read the folder, unless it was read. Raises SwarmctlError: raft-library-version, and as `open_member`."""
        check()
        opened = opened or open_member(settings)
        self._settings, self._limits, self._transport = settings, settings.limits, transport
        self._node = settings.owner.node
        self._loop = asyncio.get_running_loop()
        self._durable, self._state = opened.durable, opened.state
        self._journal = Journal(opened.durable, opened.disk)
        self._failure: BaseException | None = None
        self._end: SwarmctlError | None = None
        self._wake = asyncio.Event()
        self._garbage_from: set[NodeId] = set()
        self._jobs: set[asyncio.Task[None]] = set()
        self._swept_s = 0.0
        self._full = False
        self._claim = (0, 0)
        """The term in which this node claims to lead, and the index of the claim."""
        self._paused_epoch = 0
        self._barrier: asyncio.Future[Outcome] | None = None
        self._changes = Changes(self._limits.watch_entries, self._limits.watch_changes, self._state.index)
        self._leadership = Leadership(self._node, self._limits.work_end_s, self._fail)
        self._life = f"{self._node[:80]}.{uuid.uuid4().hex}"
        self._proposals = Proposals(self._life, self._limits, settings.consensus.entry_bytes_max, self._send_shared)
        self._core = Core(
            self._node,
            settings.consensus,
            self._journal,
            Around(transport.send, self._apply, self._want_snapshot, self._wake.set),
        )
        growth = Growth(settings.limits, settings.consensus.log_bytes_max, opened.snapshot_bytes)
        self._snapshots = Snapshots(self, self._core, growth, settings, transport.send)
        self._roster = Roster(settings, self._core, transport, opened.book, self._send_shared)
        self._member_changes = MemberChanges(self)

    # --- life

    async def run(self) -> None:
        """See the port."""
        tasks = {
            asyncio.ensure_future(self._transport.run(self._received)),
            asyncio.ensure_future(self._take_turns()),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except asyncio.CancelledError:
            if self._core.leads and len(self._journal.group.voters) > 1:
                await self._member_changes.try_hand_over(self._limits.hand_over_s)
                await asyncio.sleep(0.05)  # lets the transport bring it out
            raise
        finally:
            self._end = self._end or answers.stopped(self._node)
            self._leadership.end()
            self._proposals.fail(self._ended)
            self._changes.end(self._ended)
            for task in (*tasks, *self._jobs):
                task.cancel()
            await asyncio.gather(*tasks, *self._jobs, return_exceptions=True)
            await self._leadership.ended()
            self._snapshots.close()
            self._durable.close()

    async def _take_turns(self) -> None:
        while not self._roster.is_removed:
            self._wake.clear()
            try:
                self._turn(boot_clock())
                self._full = False
            except SwarmctlError as error:
                await self._wait_for_space(error)
            await asyncio.sleep(0)  # what has arrived meanwhile shares the next turn
            timer = self._loop.call_later(TICK_S, self._wake.set)
            await self._wake.wait()
            timer.cancel()
        self._end = answers.removed(self._node)

    async def _wait_for_space(self, error: SwarmctlError) -> None:
        """With a full disk, promise nothing and hear nothing; another may lead. Raises any other error."""
        if error.code is not ErrorCode.RAFT_DISK_FULL:
            raise error
        if not self._full:
            log.error("%s This member waits for space.", error)
        self._full = True
        self._leadership.end()
        self._core.step_down()
        await asyncio.sleep(self._limits.disk_retry_s)

    def _turn(self, now_s: float) -> None:
        """Sync, let time pass, apply, and propose what waits."""
        if self._failure is not None:
            raise self._failure
        core = self._core
        core.pass_time()
        self._look_at_leader()
        self._roster.follow(self._state.tables)
        if core.leads:
            before = self._journal.last[1]
            self._proposals.propose(core, now_s)
            if self._journal.last[1] > before:
                self._wake.set()
        elif core.leader:
            self._proposals.forward(core.leader, self._send_shared, now_s)
        self._barrier = None
        core.flush()
        if now_s - self._swept_s >= self._limits.sweep_s:
            self._swept_s = now_s
            self._sweep(now_s)

    def _look_at_leader(self) -> None:
        core = self._core
        self._proposals.on_leader(core.leader, core.term)
        if not core.leads:
            self._leadership.end()
            self._claim = (0, 0)
        elif self._claim[0] != core.term:
            claim = Claim(at=datetime.now(UTC), leader=self._node)
            once = Transaction(f"{self._life}.claim", core.term, (claim,))
            self._claim = (core.term, core.append(NORMAL + encode_entry([encode_transaction(once)])))
            self._wake.set()

    def _sweep(self, now_s: float) -> None:
        self._proposals.sweep(now_s, lambda: answers.no_leader(self._node, self._settings.patience_s))
        self._roster.sweep(now_s)
        self._member_changes.sweep()
        self._snapshots.close_idle()
        self._snapshots.begin_if_due(self._state)

    def installed(self, state: State, leader: NodeId) -> None:
        """A snapshot of the leader is published: go on with its state."""
        self._state = state
        self._changes.restart(state.index)
        self._proposals.propose_again()
        self._roster.look_again()
        self._core.answer(leader, state.index + 1, reset=False, matches=True)
        self._wake.set()

    def spawn(self, job: Coroutine[Any, Any, None]) -> None:
        """Do something beside; what it raises ends this member."""
        task = asyncio.ensure_future(job)
        self._jobs.add(task)
        task.add_done_callback(self._job_done)

    def _job_done(self, task: asyncio.Task[None]) -> None:
        self._jobs.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Let `run` end with an error."""
        self._failure = self._failure or error
        self._wake.set()

    def _ended(self) -> SwarmctlError:
        return self._end or answers.stopped(self._node)

    # --- entries and messages

    def _apply(self, index: int, command: bytes) -> None:
        term = self._journal.term_at(index)
        self._snapshots.growth.add(index, len(command))
        if command[:1] != NORMAL:
            pass_over(self._state, index)
            self._proposals.resolve(index, term, ())
        else:
            outcome = apply(self._state, index, command[1:])
            self._proposals.resolve(index, term, outcome.outcomes)
            if outcome.changes:
                self._changes.add(Batch(index, outcome.changes, outcome.events))
                self._roster.note(outcome.changes)
            if (term, index) == self._claim and self._core.leads and self._core.term == term:
                self._paused_epoch = index
                self.resume_leading()

    def _want_snapshot(self, node: NodeId) -> None:
        self._snapshots.want(node)

    def _received(self, sender: NodeId, frame: bytes) -> None:
        if self._end is not None or self._failure is not None or self._full:
            return
        try:
            message = decode(frame)
            if isinstance(message, dict):
                self._take(sender, message)
            else:
                self._take_shared(sender, message)
        except NoMessage as error:
            if sender not in self._garbage_from:
                self._garbage_from.add(sender)
                log.warning("%s sends what can't be used, told only once: %s.", sender, error)
        except Exception as error:  # noqa: BLE001 - a core that raised must not go on
            if not (isinstance(error, SwarmctlError) and error.code is ErrorCode.RAFT_DISK_FULL):
                self._fail(error)  # a full disk is met by the next turn too
        self._wake.set()

    def _take(self, sender: NodeId, message: Fields) -> None:
        if message["type"] == "piece":
            self._snapshots.on_piece(sender, message)
        elif message["type"] == "piece_reply":
            self._snapshots.on_reply(sender, message)
        elif message["type"] == "pre_vote" and self._roster.tell_stranger(sender):
            return
        else:
            self._core.receive(sender, message)

    def _take_shared(self, sender: NodeId, message: Shared) -> None:
        if isinstance(message, Forward):
            if not (self._core.leads and self._proposals.take_guests(sender, message)):
                self._send_shared(sender, NotTaken(message.number))
        elif isinstance(message, Placed):
            self._proposals.on_placed(sender, message, self._state.index)
        elif isinstance(message, NotTaken):
            self._proposals.on_not_taken(message, boot_clock())
        elif isinstance(message, Leave):
            self._member_changes.on_leave(sender)
        elif isinstance(message, Removed):
            self._roster.on_removed(message)

    def _send_shared(self, to: NodeId, message: Shared) -> bool:
        return self._transport.send(to, encode_shared(message))

    # --- the port

    @property
    def tables(self) -> Tables:
        """See the port."""
        return self._state.tables

    @property
    def standing(self) -> Standing:
        """See the port."""
        status = status_of(self._core)
        return Standing(status.leader, status.term, self._leadership.epoch, self._roster.is_removed)

    def may_write(self, epoch: int) -> bool:
        """See the port."""
        return epoch != 0 and epoch == self._leadership.epoch and boot_clock() < self._core.lease_s

    async def propose(
        self, commands: Sequence[Command], *, epoch: int | None = None, expectations: Sequence[Expectation] = ()
    ) -> Outcome:
        """See the port."""
        self._check_running()
        future = self._proposals.add(commands, epoch, expectations, boot_clock() + self._settings.patience_s)
        self._wake.set()
        return await future

    async def read_barrier(self) -> int:
        """See the port. Those who ask during one turn share an empty transaction."""
        self._check_running()
        if self._barrier is None:
            self._barrier = self._proposals.add((), None, (), boot_clock() + self._settings.patience_s)
            self._wake.set()
        outcome = await asyncio.shield(self._barrier)
        if not isinstance(outcome, Applied):
            raise answers.outcome_unknown(f"A read barrier was refused: {outcome.message}.")
        return self._state.index

    def watch(self, after: int) -> AsyncGenerator[Batch, None]:
        """See the port."""
        return self._changes.watch(after, self._state.index)

    async def lead(self, work: Work) -> None:
        """See the port."""
        await self._leadership.run(work)

    def members(self) -> tuple[Member, ...]:
        """See the port."""
        return tuple(
            replace(
                one, refuses=self._snapshots.refuses if one.id == self._node else self._snapshots.refused_by(one.id)
            )
            for one in self._roster.members(status_of(self._core))
        )

    async def add_member(self, member: NodeId, address: Address) -> None:
        """See the port."""
        self._check_running()
        await self._member_changes.add(member, address)

    async def remove_member(self, member: NodeId) -> None:
        """See the port."""
        self._check_running()
        await self._member_changes.remove(member)

    async def hand_over(self, member: NodeId | None = None) -> None:
        """See the port."""
        self._check_running()
        await self._member_changes.hand_over(member)

    def _check_running(self) -> None:
        if self._end is not None or self._failure is not None:
            raise self._ended()

    # --- what the changes of members use

    @property
    def name(self) -> NodeId:
        return self._node

    @property
    def core(self) -> Core:
        return self._core

    @property
    def patience_s(self) -> float:
        return self._settings.patience_s

    @property
    def election_max_s(self) -> float:
        return self._settings.consensus.election_max_s

    @staticmethod
    def now_s() -> float:
        return boot_clock()

    def status(self) -> Status:
        """What the core says of itself."""
        return status_of(self._core)

    def wake(self) -> None:
        """Have the next turn soon."""
        self._wake.set()

    def address_to_record(self) -> Address | None:
        """Where this member is, if that is not what is recorded."""
        return self._roster.address_to_record()

    def send_leave(self, leader: NodeId) -> None:
        """Ask the leader to remove this member."""
        self._send_shared(leader, Leave())

    async def pause_leading(self) -> None:
        """Let the leader's work end, while this node still leads."""
        self._paused_epoch = self._leadership.epoch or self._paused_epoch
        self._leadership.end()
        await self._leadership.ended()

    def resume_leading(self) -> None:
        """Go on in the epoch that was paused, unless leadership is still being handed over."""
        core = self._core
        if core.leads and not core.transfer_to and self._claim == (core.term, self._paused_epoch):
            self._leadership.begin(self._paused_epoch)
            self._paused_epoch = 0
