"""Changes of who takes part and who leads: one at a time, each followed until it is committed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from reconciler.adapters.raft import addresses, answers
from reconciler.consensus.outputs import MemberChange, MemberVerb, PeerStatus, Proposed, Reason, Refused, Role, Status
from reconciler.consensus.values import Membership, NodeId
from reconciler.model.commands import Command, Outcome, Rejected
from reconciler.model.errors import SwarmctlError
from reconciler.model.replication import Address, Standing
from reconciler.model.tables import Tables

log = logging.getLogger(__name__)

POLL_S = 0.02
"""Seconds between looks at a change that is under way."""

_PASSING = {Reason.TOO_EARLY, Reason.CHANGE_PENDING, Reason.OVERLOADED, Reason.TRANSFERRING}


class ChangingCore(Protocol):
    """A consensus core, as far as changes of members need it."""

    def change_members(self, change: MemberChange, now_s: float, /) -> Proposed | Refused: ...

    def transfer(self, node: NodeId, now_s: float, /) -> Refused | None: ...


class ChangingMember(Protocol):
    """A member of either implementation, as far as changes of members need it."""

    @property
    def name(self) -> NodeId: ...

    @property
    def core(self) -> ChangingCore: ...

    @property
    def tables(self) -> Tables: ...

    @property
    def standing(self) -> Standing: ...

    @property
    def patience_s(self) -> float:
        """Seconds that a caller waits."""
        ...

    @property
    def election_max_s(self) -> float:
        """Seconds after which whoever says nothing counts as silent."""
        ...

    def status(self) -> Status: ...

    def now_s(self) -> float: ...

    def wake(self) -> None:
        """Let what the core has to say go out."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> None: ...

    async def propose(self, commands: Sequence[Command]) -> Outcome: ...

    async def pause_leading(self) -> None:
        """Let the leader's work end, while this node still leads."""
        ...

    def resume_leading(self) -> None:
        """Let it begin again, unless this node leads no more."""
        ...

    def send_leave(self, leader: NodeId) -> None: ...

    def address_to_record(self) -> Address | None:
        """Where this member is, if that is not what is recorded."""
        ...


class MemberChanges:
    """What a member does about the group itself."""

    def __init__(self, member: ChangingMember) -> None:
        self._node = member
        self._lock = asyncio.Lock()
        self._handing = asyncio.Lock()
        self._is_promoting = False
        self._is_moving = False
        self._leaving: set[NodeId] = set()

    # --- asked for ---

    async def add(self, member: NodeId, address: Address) -> None:
        """First its address, so that everyone who has it in the log can reach it; then the member, as a learner."""
        what = f"{member} can't be added"
        self._check_leads()
        async with self._lock:
            if addresses.is_used_up(self._node.tables, member):
                raise answers.change_refused(what, "A member of this name was removed, and a name is never used again.")
            if member in self._node.status().members:
                raise answers.change_refused(what, "It is a member already.")
            await self._write(what, addresses.address_command(member, address, datetime.now(UTC)))
            await self._change(what, MemberChange(MemberVerb.ADD, member), lambda members: member in members)

    async def remove(self, member: NodeId) -> None:
        """A member that removes itself lets another do it, so that it is led out by one that goes on leading."""
        if member == self._node.name:
            await self._leave()
            return
        self._check_leads()
        await self._remove(member)

    async def _remove(self, member: NodeId) -> None:
        what = f"{member} can't be removed"
        async with self._lock:
            if member not in self._node.status().members:
                raise answers.change_refused(what, "There is no such member.")
            await self._wait_for_majority_after(what, member)
            await self._write(what, addresses.removal_command(member, datetime.now(UTC)))
            await self._change(what, MemberChange(MemberVerb.REMOVE, member), lambda members: member not in members)
        try:
            await self._node.propose([addresses.forgetting_command(member, datetime.now(UTC))])
        except SwarmctlError as error:
            log.info("The address of %s, which was removed, stays recorded: %s", member, error)

    async def _wait_for_majority_after(self, what: str, member: NodeId) -> None:
        """Refuse a removal after which those that answer would be no majority: nothing could be committed any more.

        Who leads since a moment ago has not heard from everyone yet: the silent have one election timeout to answer.
        """
        node = self._node
        due_s = node.now_s() + node.election_max_s
        while silent := _missed_after(node.status(), member, node.election_max_s):
            if node.now_s() >= due_s:
                raise answers.change_refused(
                    what, f"Without it there is no majority: {', '.join(silent)} does not answer."
                )
            await asyncio.sleep(POLL_S)
            self._check_leads()

    async def _leave(self) -> None:
        node = self._node
        due_s = node.now_s() + node.patience_s
        if node.status().members.voters == (node.name,):
            raise answers.change_refused(f"{node.name} can't be removed", "It is the last voter.")
        while not node.standing.removed:
            standing = node.standing
            if standing.leader == node.name:
                await self.hand_over(None)
            elif standing.leader:
                node.send_leave(standing.leader)
            if node.now_s() >= due_s:
                raise answers.outcome_unknown(f"{node.name} was not told in time that it is removed.")
            await asyncio.sleep(10 * POLL_S)

    async def hand_over(self, member: NodeId | None) -> None:
        """Raises SwarmctlError: raft-not-leader; raft-change-refused, after which this node leads on."""
        self._check_leads()
        node = self._node
        due_s = node.now_s() + node.patience_s
        while True:
            why = await self._try_once(member)
            if why is None:
                return
            if why not in _PASSING and why is not Reason.NOT_CAUGHT_UP:
                raise answers.change_refused(f"Leadership can't be handed to {member or 'another'}", why)
            if node.now_s() >= due_s:
                raise answers.change_refused(f"Leadership can't be handed to {member or 'another'}", why)
            await asyncio.sleep(POLL_S)

    async def try_hand_over(self, limit_s: float) -> None:
        """At the end of this member: give leadership away if that can be done soon."""
        try:
            async with asyncio.timeout(limit_s):
                await self.hand_over(None)
        except (TimeoutError, SwarmctlError) as error:
            log.info("%s stops without handing leadership on: %s", self._node.name, error or "it took too long")

    async def _try_once(self, member: NodeId | None) -> Reason | None:
        """One attempt; why it failed, None when this node leads no more."""
        node = self._node
        async with self._handing:
            status = node.status()
            if status.role is not Role.LEADER:
                return None
            if status.transferring_to:
                return Reason.TRANSFERRING  # whoever asked for that has given up waiting
            target = member or _furthest(status)
            if (reason := _why_not_to(target, status)) is not None:
                return reason  # before the work is interrupted
            await node.pause_leading()
            refused = node.core.transfer(target, node.now_s())
            node.wake()
            due_s = node.now_s() + 2 * node.election_max_s
            while refused is None and node.status().transferring_to:
                if node.now_s() >= due_s:
                    raise answers.stopped(node.name)  # a core that runs would have given up
                await asyncio.sleep(POLL_S / 10)
            if node.status().role is not Role.LEADER:
                node.wake()
                return None
            node.resume_leading()
            return refused.reason if refused is not None else Reason.NOT_CAUGHT_UP

    # --- by itself ---

    def on_leave(self, sender: NodeId) -> None:
        """A member asks to be removed."""
        if self._node.status().role is Role.LEADER and sender not in self._leaving:
            self._leaving.add(sender)
            self._node.spawn(self._let_go(sender))

    async def _let_go(self, sender: NodeId) -> None:
        try:
            await self._remove(sender)
        except SwarmctlError as error:
            log.info("%s asked to be removed: %s", sender, error.problems[0].why or error)
        finally:
            self._leaving.discard(sender)

    def sweep(self) -> None:
        """Make voters of learners that have caught up; record an address that changed; lead on after a hand-over that
        nobody waits for any more.
        """
        node = self._node
        status = node.status()
        if not self._handing.locked():
            node.resume_leading()
        learner = next((peer.node for peer in status.peers if not peer.voter and peer.caught_up), None)
        if learner is not None and not self._is_promoting and not self._lock.locked():
            self._is_promoting = True
            node.spawn(self._promote(learner))
        if node.address_to_record() is not None and status.leader and not self._is_moving:
            self._is_moving = True
            node.spawn(self._record_own_address())

    async def _promote(self, learner: NodeId) -> None:
        change = MemberChange(MemberVerb.PROMOTE, learner)
        try:
            async with self._lock:
                what = f"{learner} can't be made a voter"
                await self._change(what, change, lambda members: learner in members.voters or learner not in members)
        except SwarmctlError as error:
            log.info("%s is not made a voter yet: %s", learner, error.problems[0].why or error)
        finally:
            self._is_promoting = False

    async def _record_own_address(self) -> None:
        node = self._node
        try:
            address = node.address_to_record()
            if address is not None:
                await node.propose([addresses.address_command(node.name, address, datetime.now(UTC))])
        except SwarmctlError as error:
            log.info("The address of %s is not recorded yet: %s", node.name, error)
        finally:
            self._is_moving = False

    # --- steps ---

    def _check_leads(self) -> None:
        standing = self._node.standing
        if standing.leader != self._node.name:
            raise answers.not_leader(self._node.name, standing.leader)

    async def _write(self, what: str, command: Command) -> None:
        outcome = await self._node.propose([command])
        if isinstance(outcome, Rejected):
            raise answers.change_refused(what, outcome.message)

    async def _change(self, what: str, change: MemberChange, holds: Callable[[Membership], bool]) -> None:
        """Make a change and wait until it is committed; repeat it while the reason against it passes."""
        node = self._node
        due_s = node.now_s() + node.patience_s
        while True:
            answer = node.core.change_members(change, node.now_s())
            if not isinstance(answer, Refused):
                break
            if answer.reason is Reason.NOT_LEADER:
                raise answers.not_leader(node.name, answer.leader)
            if answer.reason not in _PASSING or node.now_s() >= due_s:
                raise answers.change_refused(what, answer.reason)
            await asyncio.sleep(POLL_S)
        node.wake()
        while True:
            status = node.status()
            if not status.members_pending and status.commit_index >= answer.first_index:
                if holds(status.members):
                    return
                raise answers.outcome_unknown("Another leader was elected meanwhile; the change is lost, or undone.")
            if node.now_s() >= due_s:
                raise answers.outcome_unknown("A majority did not confirm the change in time.")
            await asyncio.sleep(POLL_S)


def _furthest(status: Status) -> NodeId:
    """The voter that is best fit to lead; "" if this node is the only one."""
    fit = [peer for peer in status.peers if peer.voter]
    return max(fit, key=lambda peer: (peer.caught_up, peer.match_index)).node if fit else ""


def _why_not_to(target: NodeId, status: Status) -> Reason | None:
    """Why a member can't be handed leadership now."""
    if target == status.node:
        return Reason.ALREADY_SO
    peer = next((peer for peer in status.peers if peer.node == target and peer.voter), None)
    if peer is None:
        return Reason.NO_MEMBER
    return None if peer.caught_up else Reason.NOT_CAUGHT_UP


def _missed_after(status: Status, member: NodeId, silent_s: float) -> list[NodeId]:
    """Who does not answer, if without `member` those that do are no majority of the voters."""
    if member not in status.members.voters:
        return []
    voters: list[PeerStatus] = [peer for peer in status.peers if peer.voter and peer.node != member]
    silent = [peer.node for peer in voters if peer.silent_s > silent_s]
    answering = 1 + len(voters) - len(silent)
    return silent if answering <= (len(voters) + 1) // 2 else []
